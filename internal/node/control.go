package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/verify"
)

var _ api.Controller = (*Node)(nil)

// commitLag is the largest lag at which a commit is accepted: draining more
// would keep applications waiting.
const commitLag = 30 * time.Second

// Start implements api.Controller. It checks both clusters first; if it returns
// api.ErrRefused nothing was changed.
func (n *Node) Start(ctx context.Context, req api.StartRequest, from string) error {
	if err := n.wait(ctx); err != nil {
		return err
	}
	if req.Source == req.Destination || !isClusterName(req.Source) || !isClusterName(req.Destination) {
		return fmt.Errorf("source and destination: want cluster0 and cluster1, got %q and %q: %w", req.Source, req.Destination, api.ErrBadRequest)
	}
	if req.Source != "cluster0" {
		return fmt.Errorf("source: this node was started with its source as cluster0: %w", api.ErrBadRequest)
	}
	if s, _ := n.coord.Watch(); s.State != shardferry.StateIdle {
		return &shardferry.StateError{Command: "start", State: s.State}
	}
	route, err := req.Forward()
	if err != nil {
		return fmt.Errorf("%w: %w", err, api.ErrBadRequest)
	}
	if req.WithUsers && !req.IsZero() {
		return fmt.Errorf("withUsers: users and roles belong to the whole cluster: leave includeNamespaces, excludeNamespaces, namespaceRemap, collectionRemap and documentFilters out: %w", api.ErrBadRequest)
	}
	if _, err := n.check(ctx, route); err != nil {
		return err
	}
	if err := n.tryFilters(ctx, route); err != nil {
		return err
	}
	if req.WithUsers {
		if err := n.checkAccounts(ctx); err != nil {
			return err
		}
	}
	return n.order(ctx, state.Start{From: from, Job: state.Job{
		Source:       state.Endpoint{Name: req.Source, Hosts: n.ends.source.hosts, ID: n.ends.source.info.ID},
		Destination:  state.Endpoint{Name: req.Destination, Hosts: n.ends.destination.hosts, ID: n.ends.destination.info.ID},
		Reversible:   (req.Reversible == nil || *req.Reversible) && len(req.Documents) == 0,
		KeepBalancer: req.KeepBalancer,
		WithUsers:    req.WithUsers,
		StartedAt:    time.Now(),
		CommitBudget: n.cfg.CommitBudget.Milliseconds(),
		Selection:    req.Selection,
	}})
}

func isClusterName(s string) bool { return s == "cluster0" || s == "cluster1" }

// Pause implements api.Controller.
func (n *Node) Pause(ctx context.Context, from string) error {
	return n.propose(ctx, state.Pause{At: time.Now(), From: from})
}

// Resume implements api.Controller.
func (n *Node) Resume(ctx context.Context, from string) error {
	return n.resume(ctx, state.Resume{At: time.Now(), From: from})
}

// RecopyLost implements api.Controller.
func (n *Node) RecopyLost(ctx context.Context, from string) error {
	return n.resume(ctx, state.Resume{At: time.Now(), From: from, RecopyLost: true})
}

func (n *Node) resume(ctx context.Context, cmd state.Resume) error {
	err := n.propose(ctx, cmd)
	var lost *state.LostError
	if errors.As(err, &lost) {
		return fmt.Errorf("%w: %w", api.ErrInvalidState, err)
	}
	return err
}

// Commit implements api.Controller.
func (n *Node) Commit(ctx context.Context, from string) error {
	if err := n.wait(ctx); err != nil {
		return err
	}
	s, _ := n.coord.Watch()
	if ok, why := n.canCommit(s); s.State == shardferry.StateRunning && !ok {
		return fmt.Errorf("%w: %s", api.ErrNotYet, why)
	}
	err := n.order(ctx, state.Commit{At: time.Now(), From: from})
	if errors.Is(err, state.ErrNotYet) { // a schema change came between
		err = fmt.Errorf("%w: %w", api.ErrNotYet, err)
	}
	return err
}

// canCommit reports whether a commit would be short.
func (n *Node) canCommit(s *state.Sync) (bool, string) {
	if ok, why := s.CanCommit(); !ok {
		return false, why
	}
	lag, known := n.lag(s)
	switch {
	case !known:
		return false, "the lag is not known yet"
	case lag > commitLag:
		return false, fmt.Sprintf("the lag is %v, more than %v", lag, commitLag)
	}
	return true, ""
}

// Reverse implements api.Controller.
func (n *Node) Reverse(ctx context.Context, from string) error {
	return n.turn(ctx, state.TurnAround{At: time.Now(), From: from})
}

// Rollback implements api.Controller.
func (n *Node) Rollback(ctx context.Context, from string) error {
	return n.turn(ctx, state.TurnAround{At: time.Now(), From: from, Rollback: true})
}

func (n *Node) turn(ctx context.Context, cmd state.TurnAround) error {
	if err := n.wait(ctx); err != nil {
		return err
	}
	s, _ := n.coord.Watch()
	switch {
	case s.State != shardferry.StateCommitted || s.Job.Reversible:
	case len(s.Job.Selection.Documents) > 0:
		return fmt.Errorf("%w: there is no way back, because only some documents were moved (documentFilters): the old cluster has more than the new one", api.ErrInvalidState)
	default:
		return fmt.Errorf("%w: there is no way back, because the sync was started with --irreversible or our users may not bypass a write block (grant the role restore on both clusters before the next sync)", api.ErrInvalidState)
	}
	return n.order(ctx, cmd)
}

// Verify implements api.Controller. It compares the clusters of the current leg
// and takes as long as reading both.
func (n *Node) Verify(ctx context.Context) (verify.Report, error) {
	if err := n.wait(ctx); err != nil {
		return verify.Report{}, err
	}
	s, _ := n.coord.Watch()
	switch {
	case s.State == shardferry.StateIdle:
		return verify.Report{}, api.ErrNotStarted
	case s.Leg.Number > 1 && len(s.Job.Selection.Documents) > 0:
		return verify.Report{}, fmt.Errorf("%w: only some documents were moved (documentFilters), and after the commit the old cluster is not kept current: there is nothing to compare", api.ErrInvalidState)
	}
	return n.compare(ctx, s)
}

func (n *Node) propose(ctx context.Context, cmd state.Command) error {
	if err := n.wait(ctx); err != nil {
		return err
	}
	return n.order(ctx, cmd)
}

// readyLimit is how long a command waits for a node that has just started. One that
// finds no majority of the others, or not both clusters, may never take it.
const readyLimit = 10 * time.Second

// wait returns once the node can take commands.
func (n *Node) wait(ctx context.Context) error {
	late := time.NewTimer(readyLimit)
	defer late.Stop()
	select {
	case <-n.ready:
		return nil
	case <-late.C:
		return fmt.Errorf("node %s has not reached both clusters and the node that leads: nothing was done, ask again or ask another node: %w", n.cfg.ID, shardferry.ErrNotLeader)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
