package shardworker

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// Worker moves one source shard until it is stopped, replaced or fails.
type Worker struct {
	cfg Config
}

// New returns a Worker. It does no I/O and starts nothing; Run does.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Worker{cfg: cfg}, nil
}

// Run copies and applies until ctx ends, the worker is replaced
// (shardferry.ErrStaleEpoch) or something fails for good: the position has left
// the oplog (shardferry.ErrOplogWindowExceeded), or a document cannot be put. It
// serves the epoch of the assignment it finds, returns after every goroutine it
// started has, and may be called once.
func (w *Worker) Run(ctx context.Context) error {
	a, changed := w.cfg.Assignments.Watch()
	if a.Shard != w.cfg.Shard {
		return fmt.Errorf("shard %s: the assignment is for shard %q", w.cfg.Shard, a.Shard)
	}
	pipeline, err := filters(w.cfg.Filters).pipeline()
	if err != nil {
		return fmt.Errorf("shard %s: %w", w.cfg.Shard, err)
	}
	shardferry.Reached(ctx, shardferry.WorkerBegins)
	sessions, err := w.openSessions()
	if err != nil {
		return fmt.Errorf("shard %s: %w", w.cfg.Shard, err)
	}
	// They are not handed back to the driver's pool: another user of the client
	// would get one with our numbers in it, and be refused as too old.
	if err := w.announce(ctx, sessions); err != nil {
		return fmt.Errorf("shard %s: %w", w.cfg.Shard, err)
	}
	shardferry.Reached(ctx, shardferry.WorkerAnnounced)
	p := w.build(a, sessions, pipeline)
	if err := p.run(ctx, w.cfg.Assignments, a.Epoch, changed); err != nil {
		return fmt.Errorf("shard %s: %w", w.cfg.Shard, err)
	}
	return nil
}

// openSessions opens one session for each writer.
func (w *Worker) openSessions() ([]*sessionRunner, error) {
	var out []*sessionRunner
	for range w.cfg.Lanes + w.cfg.Copiers {
		s, err := newSessionRunner(w.cfg.Destination)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (w *Worker) announce(ctx context.Context, sessions []*sessionRunner) error {
	ids := make([]bson.Raw, 0, len(sessions))
	for _, s := range sessions {
		ids = append(ids, s.session.ID())
	}
	if err := w.cfg.SessionsStarted(ctx, ids); err != nil {
		return fmt.Errorf("record the sessions: %w", err)
	}
	return nil
}

// parts are the goroutines of one Run before they start.
type parts struct {
	ledger     *ledger
	tasks      *taskBoard
	reader     *reader
	dispatcher *dispatcher
	lanes      []*lane
	copiers    []*copier
	reporter   *reporter
}

func (w *Worker) build(a shardferry.Assignment, sessions []*sessionRunner, pipeline mongo.Pipeline) *parts {
	c := w.cfg
	p := &parts{ledger: newLedger(c.Shard, a, c.Filters), tasks: newTaskBoard(a.Tasks)}
	lease := newLease(c.Lease)
	keys := keyer{sourceSharded: c.Sharded}
	source, dest := clientFinder{client: c.Source}, clientFinder{client: c.Destination}
	held := newAccounts(c.Memory, c.Lanes+c.Copiers)
	memory := newRereadMemory(held.repairs)
	again := mongoconn.Retrier{Log: c.Logger, GiveUpAfter: c.GiveUpAfter, Waits: &mongoconn.Waits{}}
	read := reread{from: source, again: again, filters: c.Filters}
	if c.Sharded {
		read.ahead = newSuccession(source, clientHistory{client: c.Source}, p.ledger)
	}
	newWriter := func(s *sessionRunner) *writer {
		return &writer{to: s, lease: lease, timeout: c.WriteTimeout, again: again, number: FirstNumber}
	}
	for _, s := range sessions[:c.Lanes] {
		p.lanes = append(p.lanes, &lane{
			queue: make(chan *job, laneQueue), ledger: p.ledger, events: held.events, bytes: held.command,
			apply: &applier{
				keys: keys, writer: newWriter(s), dest: dest, ledger: p.ledger,
				reread: read, last: a.From, memory: memory,
			},
		})
	}
	p.reporter = &reporter{
		to: c.Reporter, ledger: p.ledger, tasks: p.tasks, lease: lease,
		interval: c.ReportInterval, log: c.Logger, progressed: make(chan struct{}, 1), waits: again.Waits, held: held,
	}
	for _, s := range sessions[c.Lanes:] {
		p.copiers = append(p.copiers, &copier{
			ledger: p.ledger, tasks: p.tasks, lanes: p.lanes, from: source,
			writer: newWriter(s), keys: keys, again: again,
			resync: newResyncer(c.Destination, again), copies: held.copies,
			batchDocs: c.BatchDocs, batchBytes: c.BatchBytes, progressed: p.reporter.progress,
		})
	}
	p.dispatcher = &dispatcher{ledger: p.ledger, lanes: p.lanes, events: held.events}
	p.reader = &reader{shard: c.Shard, client: c.Source, sharded: c.Sharded, ledger: p.ledger, again: again, events: held.events, seen: a.From, pipeline: pipeline}
	return p
}

// run starts every part and returns when the last has ended.
func (p *parts) run(ctx context.Context, from Assignments, epoch uint64, changed <-chan struct{}) error {
	g, gctx := errgroup.WithContext(ctx)
	chunks := make(chan chunk, 1) // one is handed on, one waits, one is being read
	g.Go(func() error { return p.follow(gctx, from, epoch, changed) })
	g.Go(func() error { return p.reporter.run(gctx) })
	g.Go(func() error { return p.reader.run(gctx, chunks) })
	g.Go(func() error { return p.dispatcher.run(gctx, chunks) })
	for _, l := range p.lanes {
		g.Go(func() error { return l.run(gctx) })
	}
	for _, c := range p.copiers {
		g.Go(func() error { return c.run(gctx) })
	}
	err := g.Wait()
	if !errors.Is(err, shardferry.ErrStaleEpoch) {
		p.reporter.last(ctx)
	}
	return err
}

// follow passes on new assignments until one is for another epoch.
func (p *parts) follow(ctx context.Context, from Assignments, epoch uint64, changed <-chan struct{}) error {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var a shardferry.Assignment
		a, changed = from.Watch()
		if a.Epoch != epoch {
			return fmt.Errorf("assigned epoch %d, serving %d: %w", a.Epoch, epoch, shardferry.ErrStaleEpoch)
		}
		p.ledger.assign(a)
		p.tasks.assign(a.Tasks)
	}
}
