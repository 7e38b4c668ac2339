package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A request is a command of an operator on its way to the state.
type request struct {
	api.Request

	recorded bool // the state has decided, and keeps what came of it
}

type requestKey struct{}

// Answer implements api.Controller. What the state decides it keeps itself. It is
// told what the node refuses before, by looking at the clusters or at the lag, and
// what is done without it.
func (n *Node) Answer(ctx context.Context, asked api.Request, do func(context.Context) error) error {
	if err := n.wait(ctx); err != nil {
		return err
	}
	req := &request{Request: asked}
	s, _ := n.coord.Watch()
	if a, err := s.Answered(req.By, req.Key, req.hash(), time.Now()); err != nil || a != nil {
		if err == nil {
			err = a.Result()
		}
		return answered(err)
	}
	err := do(context.WithValue(ctx, requestKey{}, req))
	if req.recorded || undecided(err) {
		return err
	}
	if err == nil { // it was no command of the state
		done := req.asked(nil)
		done.Done = true
		if kept := n.coord.Propose(ctx, done); kept != nil {
			n.unkept(ctx, req, kept)
		}
		return nil
	}
	var refused state.RefusedError
	refused.Kind, refused.Text = api.Describe(err)
	kept := n.coord.Propose(ctx, req.asked(&refused))
	var before *state.RefusedError
	switch {
	case kept == nil: // the key has been used meanwhile, and the command was carried out
		return nil
	case errors.As(kept, &before) && before.Text != refused.Text, errors.Is(kept, state.ErrKeyReused):
		return answered(kept)
	case !errors.As(kept, &before):
		n.unkept(ctx, req, kept)
	}
	return err
}

// unkept says that the audit log lacks a command.
func (n *Node) unkept(ctx context.Context, req *request, err error) {
	n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a command is not in the audit log", slog.String("command", req.Command), slog.Any("error", err))
}

// undecided reports whether an error leaves open what becomes of the command, or
// whether this node could not record a refusal anyway.
func undecided(err error) bool {
	return errors.Is(err, shardferry.ErrNotLeader) || errors.Is(err, shardferry.ErrOutcomeUnknown) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// answered turns what the state says about a command into an error of the API.
func answered(err error) error {
	var refused *state.RefusedError
	switch {
	case errors.As(err, &refused):
		return &api.Error{Name: refused.Kind, Text: refused.Text}
	case errors.Is(err, state.ErrKeyReused):
		return fmt.Errorf("%w: %w", api.ErrKeyReused, err)
	}
	return err
}

// order proposes a command. One that came through Answer takes along who asked
// for it and under which key.
func (n *Node) order(ctx context.Context, cmd state.Command) error {
	req, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return n.coord.Propose(ctx, cmd)
	}
	asked := req.asked(nil)
	switch c := cmd.(type) {
	case state.Start:
		asked.Start = &c
	case state.Pause:
		asked.Pause = &c
	case state.Resume:
		asked.Resume = &c
	case state.Commit:
		asked.Commit = &c
	case state.TurnAround:
		asked.TurnAround = &c
	default:
		return fmt.Errorf("%T is no command of an operator", cmd)
	}
	err := n.coord.Propose(ctx, asked)
	req.recorded = !undecided(err)
	return answered(err)
}

func (r *request) asked(refused *state.RefusedError) state.Asked {
	return state.Asked{
		At: time.Now(), Command: r.Command, By: r.By, From: r.From, With: r.With, Key: r.Key, Hash: r.hash(), Refused: refused,
	}
}

// hash tells whether a key comes with the same command again.
func (r *request) hash() []byte {
	if r.Key == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(r.Command + "\n" + r.With))
	return sum[:]
}

// Audit implements api.Controller.
func (n *Node) Audit(ctx context.Context, since time.Time) ([]api.AuditEntry, error) {
	if err := n.wait(ctx); err != nil {
		return nil, err
	}
	s, _ := n.coord.Watch()
	var out []api.AuditEntry
	for _, e := range s.Audit {
		if e.At.Before(since) && e.Last.Before(since) {
			continue
		}
		entry := api.AuditEntry{At: e.At, Command: e.Command, By: e.By, From: e.From, With: e.With, Error: e.Kind, Text: e.Text, Times: e.Times}
		if !e.Last.IsZero() {
			entry.Last = &e.Last
		}
		out = append(out, entry)
	}
	return out, nil
}
