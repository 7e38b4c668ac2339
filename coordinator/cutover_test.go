package coordinator_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// ends are two clusters that know only whether they are open to users.
type ends struct {
	t                 *testing.T
	source, dest      bool // open to users
	calls             []string
	slow              map[string]time.Duration
	armed             int
	destOpenedUnarmed bool

	mu   sync.Mutex
	fail map[string]error
}

// breaks makes a step fail from now on, or work again if err is nil.
func (e *ends) breaks(step string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail[step] = err
}

func newEnds(t *testing.T) *ends {
	return &ends{t: t, source: true, fail: map[string]error{}, slow: map[string]time.Duration{}}
}

func (e *ends) call(ctx context.Context, name string) error {
	e.calls = append(e.calls, name)
	if d := e.slow[name]; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fail[name]
}

func (e *ends) check() {
	assert.False(e.t, e.source && e.dest, "both clusters take writes")
}

func (e *ends) BlockSource(ctx context.Context, _ *state.Sync) error {
	if err := e.call(ctx, "block"); err != nil {
		return err
	}
	e.source = false
	return nil
}

func (e *ends) EndTime(ctx context.Context, _ *state.Sync) (shardferry.ClusterTime, error) {
	assert.False(e.t, e.source, "an end while users write")
	return shardferry.ClusterTime{T: 200}, e.call(ctx, "end")
}

func (e *ends) Verify(ctx context.Context, s *state.Sync) (state.Verified, error) {
	assert.False(e.t, e.source)
	assert.False(e.t, s.Leg.ResumePoint().Before(s.Leg.Cutover.End), "compared before all is applied")
	return state.Verified{Documents: 1}, e.call(ctx, "verify")
}

func (e *ends) Finish(ctx context.Context, s *state.Sync) (state.Finished, error) {
	var done state.Finished
	for _, ix := range s.Leg.Indexes {
		if !ix.Finished && len(done.Indexes) == 0 { // one at a time
			done.Indexes = append(done.Indexes, state.IndexRef{NS: ix.NS, Name: ix.Name()})
		}
	}
	return done, e.call(ctx, "finish")
}

func (e *ends) Carry(ctx context.Context, s *state.Sync) (state.Command, error) {
	assert.False(e.t, e.source, "carried while users write")
	assert.True(e.t, s.Leg.Drained(), "carried before all is applied")
	if err := e.call(ctx, "carry"); err != nil {
		return nil, err
	}
	switch {
	case !s.Job.WithUsers || s.Leg.Cutover.Carried:
		return nil, nil
	case !s.Accounts.Temporary:
		return state.Carrying{Leg: s.Leg.Number, Accounts: []shardferry.Account{{ID: "d.u"}}}, nil
	}
	return state.Carried{Leg: s.Leg.Number, Accounts: s.Accounts.Carried}, nil
}

func (e *ends) Clear(ctx context.Context, s *state.Sync) error {
	assert.True(e.t, s.Accounts.Temporary, "nothing to clear")
	return e.call(ctx, "clear")
}

func (e *ends) Arm(ctx context.Context, _ *state.Sync) (*state.Armed, error) {
	assert.False(e.t, e.source || e.dest, "armed while users write")
	e.armed++
	return &state.Armed{Start: shardferry.ClusterTime{T: 7000}, Shards: []shardferry.ShardID{"d0"}}, e.call(ctx, "arm")
}

func (e *ends) OpenDestination(ctx context.Context, s *state.Sync) error {
	e.destOpenedUnarmed = e.destOpenedUnarmed || s.Leg.Cutover.Next == nil
	if err := e.call(ctx, "open"); err != nil {
		return err
	}
	e.dest = true
	return nil
}

func (e *ends) UnblockSource(ctx context.Context, _ *state.Sync) error {
	if err := e.call(ctx, "unblock"); err != nil {
		return err
	}
	e.source = true
	return nil
}

// streaming returns a sync that can commit, with two indexes to finish.
func streaming(t *testing.T) *state.Sync {
	t.Helper()
	s := state.New()
	p := planned
	for _, name := range []string{"a_1", "b_1"} {
		spec, err := bson.Marshal(bson.D{{"name", name}})
		require.NoError(t, err)
		p.Indexes = append(p.Indexes, state.Index{Spec: spec})
	}
	for _, cmd := range []state.Command{
		begin, p,
		state.Created{},
		state.IndexesBuilt{Leg: 1, Indexes: []state.IndexRef{{Name: "a_1"}, {Name: "b_1"}}},
		state.Assign{Leg: 1, Shard: "s0"},
	} {
		require.NoError(t, cmd.Apply(s))
	}
	require.Equal(t, state.PhaseStreaming, s.Leg.Phase)
	return s
}

func commit(t *testing.T, s *state.Sync) {
	t.Helper()
	require.NoError(t, state.Commit{At: time.Now(), From: "op"}.Apply(s))
}

func applied(t *testing.T, s *state.Sync, at uint32) {
	t.Helper()
	require.NoError(t, state.Report{Leg: 1, Reports: []shardferry.Report{{Shard: "s0", Epoch: 1, Applied: shardferry.ClusterTime{T: at}}}}.Apply(s))
}

// drive reconciles until nothing is left to do. crashAt is the round whose
// record is lost: a new leader finds the old state and does the step again.
func drive(t *testing.T, e *ends, s *state.Sync, crashAt int) error {
	t.Helper()
	r := coordinator.Cutover{Clusters: e, Carrier: e}
	for round := range 30 {
		cmds, err := r.Reconcile(t.Context(), s.Clone())
		e.check()
		if err != nil || len(cmds) == 0 {
			return err
		}
		if round == crashAt {
			continue
		}
		for _, cmd := range cmds {
			require.NoError(t, cmd.Apply(s), "%T", cmd)
		}
	}
	require.Fail(t, "the commit does not end")
	return nil
}

func TestACommitDoesEachStepOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEnds(t), streaming(t)
		commit(t, s)
		require.NoError(t, drive(t, e, s, -1))
		assert.Equal(t, state.StepDraining, s.Leg.Cutover.Step, "it waits for the shards")
		applied(t, s, 200)
		require.NoError(t, drive(t, e, s, -1))
		assert.Equal(t, []string{"block", "end", "carry", "verify", "finish", "finish", "finish", "arm", "open"}, e.calls)
		assert.Equal(t, shardferry.StateCommitted, s.State)
		assert.True(t, e.dest)
		assert.False(t, e.source)
		assert.Equal(t, shardferry.ClusterTime{T: 7000}, s.Leg.Start)
	})
}

func TestACrashBetweenAnyTwoStepsIsHarmless(t *testing.T) {
	for crashAt := range 10 {
		synctest.Test(t, func(t *testing.T) {
			e, s := newEnds(t), streaming(t)
			commit(t, s)
			applied(t, s, 200)
			require.NoError(t, drive(t, e, s, crashAt))
			assert.Equal(t, shardferry.StateCommitted, s.State)
			assert.True(t, e.dest && !e.source)
		})
	}
}

// Once users write to the destination, it is too late to capture where the way
// back starts.
func TestArmedIsRecordedBeforeTheDestinationIsOpened(t *testing.T) {
	for crashAt := range 10 {
		synctest.Test(t, func(t *testing.T) {
			e, s := newEnds(t), streaming(t)
			commit(t, s)
			applied(t, s, 200)
			require.NoError(t, drive(t, e, s, crashAt))
			assert.Positive(t, e.armed)
			assert.False(t, e.destOpenedUnarmed)
		})
	}
}

func TestABudgetThatRunsOutUnblocksTheSource(t *testing.T) {
	stories := map[string]func(e *ends){
		"blocking hangs":     func(e *ends) { e.slow["block"] = time.Hour },
		"the end time hangs": func(e *ends) { e.slow["end"] = time.Hour },
		"verifying hangs":    func(e *ends) { e.slow["verify"] = time.Hour },
	}
	for name, spoil := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s := newEnds(t), streaming(t)
				spoil(e)
				commit(t, s)
				applied(t, s, 200)
				began := time.Now()
				require.NoError(t, drive(t, e, s, -1))
				assert.Equal(t, time.Minute, time.Since(began))
				assert.Equal(t, shardferry.StateRunning, s.State)
				assert.True(t, e.source && !e.dest)
				assert.Contains(t, s.Last.Failure, "the time budget ran out")
			})
		})
	}
	t.Run("a shard never reaches the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, s := newEnds(t), streaming(t)
			commit(t, s)
			require.NoError(t, drive(t, e, s, -1))
			assert.False(t, e.source)
			time.Sleep(time.Minute + time.Millisecond)
			require.NoError(t, drive(t, e, s, -1))
			assert.True(t, e.source && !e.dest)
			assert.Equal(t, "the time budget ran out while it was draining", s.Last.Failure)
		})
	})
}

// What was needed on the destination to bring users over is gone before a commit
// that is given up has ended, and before one that is not goes on.
func TestNothingOfTheUsersIsLeftBehind(t *testing.T) {
	begin := func(t *testing.T) (*ends, *state.Sync) {
		t.Helper()
		e, s := newEnds(t), streaming(t)
		s.Job.WithUsers = true
		commit(t, s)
		applied(t, s, 200)
		return e, s
	}
	t.Run("a commit", func(t *testing.T) {
		for crashAt := range 12 {
			e, s := begin(t)
			require.NoError(t, drive(t, e, s, crashAt))
			assert.Equal(t, shardferry.StateCommitted, s.State)
			assert.False(t, s.Accounts.Temporary)
			assert.Equal(t, []shardferry.Account{{ID: "d.u"}}, s.Accounts.Carried)
			assert.NotContains(t, e.calls, "clear")
		}
	})
	t.Run("one that is given up", func(t *testing.T) {
		e, s := begin(t)
		for !s.Accounts.Temporary {
			cmds, err := coordinator.Cutover{Clusters: e, Carrier: e}.Reconcile(t.Context(), s.Clone())
			require.NoError(t, err)
			for _, cmd := range cmds {
				require.NoError(t, cmd.Apply(s))
			}
		}
		require.NoError(t, state.Abort{Leg: 1, Reason: "test"}.Apply(s))
		require.Error(t, state.Aborted{Leg: 1}.Apply(s), "ended although something is left")
		e.fail["clear"] = errors.New("not now")
		require.Error(t, drive(t, e, s, -1))
		assert.True(t, e.source, "applications do not wait for it")
		assert.Equal(t, shardferry.StateCommitting, s.State)
		delete(e.fail, "clear")
		require.NoError(t, drive(t, e, s, -1))
		assert.Equal(t, shardferry.StateRunning, s.State)
		assert.False(t, s.Accounts.Temporary)
		assert.Equal(t, []shardferry.Account{{ID: "d.u"}}, s.Accounts.Carried, "the next commit must know whose they are")
	})
}

// Finishing is carried through, even if it takes longer than the budget.
func TestABudgetDoesNotEndWhatIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEnds(t), streaming(t)
		e.slow["finish"], e.slow["open"] = time.Hour, time.Hour
		commit(t, s)
		applied(t, s, 200)
		require.NoError(t, drive(t, e, s, -1))
		assert.Equal(t, shardferry.StateCommitted, s.State)
	})
}

func TestDifferencesEndACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		e.fail["verify"] = coordinator.ErrDifferences
		s := streaming(t)
		commit(t, s)
		applied(t, s, 200)
		c, _ := run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{coordinator.Cutover{Clusters: e, Carrier: e}}})
		play(t, c)
		time.Sleep(time.Minute)
		got, _ := c.Watch()
		assert.Equal(t, shardferry.StateRunning, got.State)
		require.NotNil(t, got.Last)
		assert.Contains(t, got.Last.Failure, "the clusters differ")
		assert.True(t, e.source && !e.dest)
	})
}

// play brings a coordinator to a commit whose shards have applied everything.
func play(t *testing.T, c *coordinator.Coordinator) {
	t.Helper()
	propose(
		t, c, begin, planned, state.Created{}, state.Assign{Leg: 1, Shard: "s0"},
		state.Commit{At: time.Now(), From: "op"},
		state.Report{Leg: 1, Reports: []shardferry.Report{{Shard: "s0", Epoch: 1, Applied: shardferry.ClusterTime{T: 200}}}},
	)
}

// Trouble while the destination is opened cannot be undone: it is tried until
// it works.
func TestOpeningIsTriedUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		e.fail["open"] = errBroken
		c, _ := run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{coordinator.Cutover{Clusters: e, Carrier: e}}})
		play(t, c)
		time.Sleep(time.Minute)
		s, _ := c.Watch()
		assert.Equal(t, shardferry.StateCommitting, s.State)
		assert.Equal(t, state.StepOpening, s.Leg.Cutover.Step)
		e.breaks("open", nil)
		time.Sleep(time.Minute)
		s, _ = c.Watch()
		assert.Equal(t, shardferry.StateCommitted, s.State)
	})
}

func TestARollbackCommitsAsSoonAsItCan(t *testing.T) {
	e, s := newEnds(t), streaming(t)
	s.RollingBack = true
	cmds, err := coordinator.Cutover{Clusters: e, Carrier: e}.Reconcile(t.Context(), s)
	require.NoError(t, err)
	require.Len(t, cmds, 1)
	assert.IsType(t, state.Commit{}, cmds[0])
	s.Leg.Phase = state.PhaseBuilding
	cmds, err = coordinator.Cutover{Clusters: e, Carrier: e}.Reconcile(t.Context(), s)
	require.NoError(t, err)
	assert.Empty(t, cmds)
}

// schemaChanges is a SchemaApplier that notes what it is asked for.
type schemaChanges struct {
	err  error
	made []shardferry.SchemaChange
}

func (a *schemaChanges) ApplySchema(_ context.Context, _ *state.Sync, c shardferry.SchemaChange) (state.Resolve, error) {
	a.made = append(a.made, c)
	return state.Resolve{Dropped: []state.IndexRef{{Name: "a_1"}}}, a.err
}

func TestASchemaChangeWaitsForAllWorkers(t *testing.T) {
	a, s := &schemaChanges{}, streaming(t)
	r := coordinator.Schema{Applier: a}
	step := func() []state.Command {
		cmds, err := r.Reconcile(t.Context(), s.Clone())
		require.NoError(t, err)
		for _, cmd := range cmds {
			require.NoError(t, cmd.Apply(s))
		}
		return cmds
	}
	report := func(rep shardferry.Report) {
		rep.Shard, rep.Epoch = "s0", 1
		require.NoError(t, state.Report{Leg: 1, Reports: []shardferry.Report{rep}}.Apply(s))
	}
	assert.Empty(t, step(), "nothing waits")
	change := shardferry.SchemaChange{Shard: "s0", Time: shardferry.ClusterTime{T: 150, I: 1}, Kind: "dropIndexes"}
	report(shardferry.Report{Schema: &change, Applied: shardferry.Pred(change.Time)})
	assert.Equal(t, []state.Command{state.RaiseBarrier{Leg: 1}}, step())
	assert.Empty(t, step(), "the worker has not stopped")
	report(shardferry.Report{Ready: 1})

	a.err = errors.New("no such thing")
	_, err := r.Reconcile(t.Context(), s.Clone())
	require.ErrorIs(t, err, a.err)
	a.err = nil
	assert.Len(t, step(), 1)
	assert.Equal(t, []shardferry.SchemaChange{change, change}, a.made)
	assert.Nil(t, s.Leg.Barrier)
	assert.Len(t, s.Leg.Indexes, 1)
	assert.Empty(t, step())

	require.NoError(t, state.Pause{}.Apply(s))
	report(shardferry.Report{Schema: &shardferry.SchemaChange{Shard: "s0", Time: shardferry.ClusterTime{T: 160}}})
	assert.Empty(t, step(), "a paused sync changes nothing")
}

func TestTurnWaitsForAWorkerOnEveryShard(t *testing.T) {
	s := state.New()
	s.State, s.Leg.Number, s.Leg.Shards = shardferry.StateReversing, 2, []state.Shard{{ID: "a", Epoch: 1}, {ID: "b"}}
	cmds, err := coordinator.Turn{}.Reconcile(t.Context(), s)
	require.NoError(t, err)
	assert.Empty(t, cmds)
	s.Leg.Shards[1].Epoch = 1
	cmds, err = coordinator.Turn{}.Reconcile(t.Context(), s)
	require.NoError(t, err)
	assert.Equal(t, []state.Command{state.Turned{Leg: 2}}, cmds)
}
