package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/shardferry/shardferry"
)

// KeyHeader names the header of a key under which a command is done once,
// however often it is sent.
const KeyHeader = "Idempotency-Key"

const maxKey = 128 // bytes of an Idempotency-Key

// commands adds what changes something.
func (s *Server) commands(mux *http.ServeMux) {
	ctl := s.cfg.Controller
	for name, do := range map[string]func(context.Context, string) error{
		"pause": ctl.Pause, "commit": ctl.Commit, "reverse": ctl.Reverse, "rollback": ctl.Rollback,
	} {
		command(s, mux, name, RoleOperator, func(ctx context.Context, _ struct{}, from string) error { return do(ctx, from) })
	}
	command(s, mux, "start", RoleOperator, ctl.Start)
	command(s, mux, "resume", RoleOperator, func(ctx context.Context, req ResumeRequest, from string) error {
		if req.RecopyLost {
			return ctl.RecopyLost(ctx, from)
		}
		return ctl.Resume(ctx, from)
	})
}

// command adds a command about the sync with the fields of T, for those who have
// the role.
func command[T any](s *Server, mux *http.ServeMux, name string, role Role, do func(context.Context, T, string) error) {
	ordered(s, mux, name, role, s.cfg.Controller.Answer, do)
}

// An answering carries a command out and keeps what came of it.
type answering func(ctx context.Context, req Request, do func(context.Context) error) error

func ordered[T any](s *Server, mux *http.ServeMux, name string, role Role, answer answering, do func(context.Context, T, string) error) {
	mux.HandleFunc("POST /api/v1/"+name, s.needs(role, func(w http.ResponseWriter, r *http.Request) {
		who := callerOf(r.Context())
		req := Request{Command: name, By: who.name, From: who.from}
		var fields T
		err := decode(w, r, &fields)
		if err == nil {
			req.Key, err = key(r)
		}
		if err == nil {
			req.With, err = oneForm(fields)
		}
		if err != nil {
			s.turnAway(w, r, who, err)
			return
		}
		err = answer(r.Context(), req, func(ctx context.Context) error { return do(ctx, fields, who.from) })
		s.outcome(w, r, req, err)
	}))
}

// key returns the Idempotency-Key of a request, empty if it has none.
func key(r *http.Request) (string, error) {
	values := r.Header.Values(KeyHeader)
	if len(values) == 0 {
		return "", nil
	}
	k := values[0]
	if len(values) > 1 || k == "" || len(k) > maxKey || strings.ContainsFunc(k, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("%w: %s: want one of 1 to %d printable ASCII characters without spaces", ErrBadRequest, KeyHeader, maxKey)
	}
	return k, nil
}

// oneForm returns the fields of a command such that the same fields give the same text.
func oneForm(fields any) (string, error) {
	b, err := json.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("the fields: %w", err)
	}
	if string(b) == "{}" {
		return "", nil
	}
	return string(b), nil
}

// outcome answers a command.
func (s *Server) outcome(w http.ResponseWriter, r *http.Request, req Request, err error) {
	by := caller{name: req.By, from: req.From}.attr()
	if err == nil {
		s.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "command accepted", slog.String("command", req.Command), by)
		s.write(w, http.StatusOK, Result{Success: true, Outcome: OutcomeAccepted})
		return
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", shardferry.ErrOutcomeUnknown, err)
	}
	status, body := encodeError(err)
	body.Outcome = OutcomeRefused
	if errors.Is(err, shardferry.ErrOutcomeUnknown) {
		body.Outcome = OutcomeUnknown
		body.Description += ": it may be done or not: ask for the progress, or send it again with the same " + KeyHeader
	}
	s.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "command not accepted", slog.String("command", req.Command), slog.String("name", body.Error),
		slog.Any("error", err), slog.String("outcome", body.Outcome), by)
	s.write(w, status, body)
}
