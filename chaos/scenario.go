package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// A scenario is one run in progress. One goroutine drives it.
type scenario struct {
	plan      Plan
	r         *rand.Rand
	sides     sides
	fleet     *fleet
	crowd     *crowd
	operators [2]*mongo.Client // read past everything
	bad       *violations
	trace     *trace
	faults    *errgroup.Group
	last      *state.Sync // the last state that a ready node showed
	probes    int

	// spoil is called before the last checks, and for a plan that commits before
	// the commit, by tests of the checks.
	spoil func(ctx context.Context, s *scenario) error
}

// errStuck reports that what must happen in the end did not.
var errStuck = errors.New("it does not come to an end")

// The longest that a stage may take after its last fault.
const stageLimit = 10 * time.Minute

const tick = 50 * time.Millisecond

// play goes through the stages of the plan.
func (s *scenario) play(ctx context.Context) error {
	for _, st := range s.plan.Stages() {
		s.trace.add("stage: %s", st)
		if s.spoil != nil && st == Committing {
			if err := s.spoil(ctx, s); err != nil {
				return err
			}
		}
		if err := s.act(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
	return nil
}

// act goes through one stage: its faults at their times, probes in between, and
// the operator's part, until the stage has reached its end and nothing of its
// faults is left to come.
func (s *scenario) act(ctx context.Context, st Stage) error {
	began := time.Now()
	faults := s.plan.Of(st)
	s.fleet.arm(s.plan.ofNodes(st))
	var end time.Time // of the stage, but for faults
	for {
		for len(faults) > 0 && time.Since(began) >= faults[0].After {
			if err := s.strike(ctx, faults[0]); err != nil {
				return err
			}
			faults = faults[1:]
		}
		if err := s.fleet.up(ctx); err != nil {
			return err
		}
		done, err := s.proceed(ctx, st, began)
		if err != nil {
			return err
		}
		if done && end.IsZero() {
			end = time.Now()
		}
		if done && len(faults) == 0 && s.fleet.calm(time.Since(end), s.plan.lasting(st)) {
			return nil
		}
		if err := s.fleet.whatFailed(); err != nil {
			return err
		}
		if time.Since(began) > stageLimit {
			return fmt.Errorf("%w: %s", errStuck, describe(s.last))
		}
		if s.r.IntN(30) == 0 {
			s.probe(ctx)
		}
		if err := mongoconn.Sleep(ctx, tick); err != nil {
			return err
		}
	}
}

// strike lets one fault begin. Killing the node is done at once; the rest goes
// on by itself.
func (s *scenario) strike(ctx context.Context, f Fault) error {
	s.trace.add("fault: %v", f)
	if f.Kind != KillNode {
		s.faults.Go(func() error {
			if err := s.sides[f.Side].do(ctx, f); err != nil {
				return err
			}
			s.trace.add("over: %v", f)
			return nil
		})
		return nil
	}
	only := s.fleet.members[0].process
	if err := only.Kill(); err != nil {
		return err
	}
	s.probe(ctx)
	if err := mongoconn.Sleep(ctx, f.For); err != nil {
		return err
	}
	s.trace.add("the node starts again, it was %s", describe(s.last))
	return s.fleet.members[0].start(ctx)
}

// lasting reports whether a fault of the commit may still be under way when a stage
// ends.
func (p Plan) lasting(st Stage) bool {
	return p.Commits.lasts && (st == Committing || st == Living || st == Returning)
}

// crew makes the nodes.
func (s *scenario) crew(stage *rehearse.Stage, dir string) {
	watch := func() func(context.Context, *node.Node) { return s.watch(newPositions(s.bad)) }
	s.fleet = newFleet(s.plan, s.trace, processes(stage, s.plan, dir, s.trace.logger(), watch))
	for _, w := range s.sides {
		w.befall(s.fleet)
	}
}

// proceed does what the operator would do in a stage, and reports whether the
// stage has reached its end.
func (s *scenario) proceed(ctx context.Context, st Stage, began time.Time) (bool, error) {
	select {
	case <-s.fleet.node().Ready():
	default:
		return false, nil
	}
	sync, _ := s.fleet.node().State()
	s.last = sync
	if sync.State == shardferry.StatePaused {
		return false, fmt.Errorf("the sync paused by itself: %s", sync.Hold)
	}
	switch st {
	case Copying:
		if sync.State == shardferry.StateIdle {
			return false, s.command(ctx, "start", s.start)
		}
		if sync.Active() {
			s.crowd.guard()
		}
		return sync.Leg.Phase == state.PhaseStreaming, nil
	case Streaming:
		return time.Since(began) >= s.plan.Linger, nil
	case Living:
		return time.Since(began) >= s.plan.Linger && s.crowd.writesTo(Destination), nil
	case Home:
		return time.Since(began) >= s.plan.Linger && s.crowd.writesTo(Source), nil
	case Committing:
		return s.cutOver(ctx, sync, 2, "commit", s.fleet.node().Commit)
	case Returning:
		return s.cutOver(ctx, sync, 3, "rollback", s.fleet.node().Rollback)
	}
	return false, fmt.Errorf("there is no stage %q", st)
}

// cutOver asks for a commit until the given leg is reached. A commit that is
// given up is asked for again.
func (s *scenario) cutOver(ctx context.Context, sync *state.Sync, leg int, name string, ask func(context.Context, string) error) (bool, error) {
	switch {
	case sync.Leg.Number >= leg:
		return sync.State == shardferry.StateCommitted, nil
	case sync.State == shardferry.StateCommitting, sync.State == shardferry.StateReversing, sync.RollingBack:
		return false, nil
	}
	if c := sync.Last; c != nil && c.Failure != "" {
		s.trace.add("a commit was given up: %s", c.Failure)
		if differed(c) {
			return false, fmt.Errorf("the commit was given up because of differences: %s", c.Failure)
		}
	}
	return false, s.command(ctx, name, func(ctx context.Context) error { return ask(ctx, "chaos") })
}

// differed reports whether a commit was given up because the clusters were not
// equal after everything was applied. The record of a commit keeps only the text
// of its failure; that the text is this one is checked by a test.
func differed(c *state.Cutover) bool { return strings.Contains(c.Failure, "the clusters differ") }

func (s *scenario) start(ctx context.Context) error {
	return s.fleet.node().Start(ctx, api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "chaos")
}

// command gives the node a command. Refusals that may pass are no errors: the
// command is given again.
func (s *scenario) command(ctx context.Context, name string, give func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := give(ctx)
	var wrong *shardferry.StateError
	switch {
	case err == nil:
		s.trace.add("%s was accepted", name)
		return nil
	case errors.Is(err, api.ErrNotYet), errors.As(err, &wrong), errors.Is(err, shardferry.ErrOutcomeUnknown),
		errors.Is(err, shardferry.ErrNotLeader), mongoconn.Classify(err) == mongoconn.Transient, ctx.Err() != nil:
		s.trace.add("%s: %v", name, err)
		return mongoconn.Sleep(context.WithoutCancel(ctx), 200*time.Millisecond)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// probe checks at a moment in the middle of a run that the destination of the
// leg holds all that the resume point promises. Without a ledger there is nothing
// to check it by.
func (s *scenario) probe(ctx context.Context) {
	sync := s.last
	if sync == nil || sync.State == shardferry.StateIdle || s.crowd.ledger == nil {
		return
	}
	switch sync.Leg.Phase {
	case state.PhaseBuilding, state.PhaseStreaming:
	case state.PhasePlanning, state.PhaseCreating, state.PhaseCopying:
		return // what is not copied yet cannot be there
	}
	from, to := Source, Destination
	if sync.Leg.Direction == state.Reverse {
		from, to = to, from
	}
	g := sync.Leg.ResumePoint()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	docs, err := readAll(ctx, s.operators[to])
	if err != nil {
		s.trace.add("probe: %v", err)
		return
	}
	if s.crowd.writesTo(to) {
		return // the leg has ended, though the node that knew it is gone: to reads on while it is written to
	}
	s.probes++
	for _, wrong := range s.crowd.ledger.check(docs, reading{partial: true, from: from, upTo: g}) {
		s.bad.add("the %v does not hold what the resume point %d.%d promises: %s", to, g.T, g.I, wrong)
	}
}

// watch sees every state that a node shows.
func (s *scenario) watch(p *positions) func(ctx context.Context, n *node.Node) {
	return func(ctx context.Context, n *node.Node) {
		select {
		case <-n.Ready():
		case <-ctx.Done():
			return
		}
		for {
			sync, changed := n.State()
			from := Source
			if sync.Leg.Direction == state.Reverse {
				from = Destination
			}
			p.see(sync, s.sides[from].cluster.ClusterTime())
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

func describe(s *state.Sync) string {
	if s == nil {
		return "not ready"
	}
	text := fmt.Sprintf("%s, leg %d, %s, resume point %d.%d", s.State, s.Leg.Number, s.Leg.Phase, s.Leg.ResumePoint().T, s.Leg.ResumePoint().I)
	if b := s.Leg.Barrier; b != nil {
		text += fmt.Sprintf(", barrier %d at %d.%d", b.ID, b.Time.T, b.Time.I)
	}
	for _, sh := range s.Leg.Shards {
		text += fmt.Sprintf("; %s epoch %d applied %d.%d seen %d.%d", sh.ID, sh.Epoch, sh.Applied.T, sh.Applied.I, sh.Seen.T, sh.Seen.I)
		if sh.Schema != nil {
			text += fmt.Sprintf(" at %s of %v", sh.Schema.Kind, sh.Schema.NS)
		}
	}
	if c := s.Leg.Cutover; c != nil {
		text += "; commit " + string(c.Step)
	}
	return text
}
