package shardworker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// A pair is a source and a destination cluster in one bubble.
type pair struct {
	t        *testing.T
	src, dst *mongotest.Cluster
	from, to *mongo.Client
	sharded  bool

	ctx     context.Context // ends before the clusters do
	workers sync.WaitGroup
	halt    func()
	mu      sync.Mutex
	failed  []error // of workers that were not stopped
}

func (p *pair) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.failed...)
}

// bubble runs story with a running pair in virtual time.
func bubble(t *testing.T, src, dst mongotest.Options, story func(t *testing.T, p *pair)) {
	t.Helper()
	src.Name, dst.Name = "source", "destination"
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &pair{t: t, sharded: src.Shards > 0, ctx: ctx}
		p.halt = func() { cancel(); p.workers.Wait() }
		var stop []func()
		defer func() {
			for i := len(stop) - 1; i >= 0; i-- {
				stop[i]()
			}
		}()
		start := func(o mongotest.Options) (*mongotest.Cluster, *mongo.Client) {
			c, err := mongotest.New(o)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- c.Run(ctx) }()
			<-c.Ready()
			cl, err := mongo.Connect(c.ClientOptions())
			require.NoError(t, err)
			stop = append(stop, func() {
				require.NoError(t, cl.Disconnect(t.Context()))
				cancel()
				assert.NoError(t, <-ran)
			})
			return c, cl
		}
		p.src, p.from = start(src)
		p.dst, p.to = start(dst)
		defer p.halt()
		story(t, p)
	})
}

func (p *pair) run(cl *mongo.Client, db string, cmd bson.D) bson.Raw {
	p.t.Helper()
	reply, err := cl.Database(db).RunCommand(p.t.Context(), cmd).Raw()
	require.NoError(p.t, err, "%v", cmd)
	return reply
}

// create makes a collection on both sides and returns how it maps.
func (p *pair) create(ns shardferry.Namespace, srcKey, dstKey bson.D, opts ...options.Lister[options.CreateCollectionOptions]) shardferry.Collection {
	p.t.Helper()
	for _, side := range []struct {
		cl  *mongo.Client
		key bson.D
	}{{p.from, srcKey}, {p.to, dstKey}} {
		require.NoError(p.t, side.cl.Database(ns.DB).CreateCollection(p.t.Context(), ns.Coll, opts...))
		if side.key != nil {
			p.run(side.cl, "admin", bson.D{{"shardCollection", ns.String()}, {"key", side.key}})
		}
	}
	specs, err := p.from.Database(ns.DB).ListCollectionSpecifications(p.t.Context(), bson.D{{"name", ns.Coll}})
	require.NoError(p.t, err)
	require.Len(p.t, specs, 1)
	c := shardferry.Collection{UUID: shardferry.UUID(specs[0].UUID.Data), Source: ns, Destination: ns}
	if dstKey != nil {
		c.ShardKey = mustMarshal(p.t, dstKey)
	}
	return c
}

func mustMarshal(t *testing.T, v any) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(v)
	require.NoError(t, err)
	return b
}

// tasks cuts a collection: one task for each chunk of a sharded one.
func (p *pair) tasks(c shardferry.Collection, key bson.D) []shardferry.CopyTask {
	p.t.Helper()
	if key == nil {
		shard := p.src.Shards()[0]
		if p.sharded {
			db, err := p.from.Database("config").Collection("databases").FindOne(p.t.Context(), bson.D{{"_id", c.Source.DB}}).Raw()
			require.NoError(p.t, err)
			shard = db.Lookup("primary").StringValue()
		}
		return []shardferry.CopyTask{{Shard: shardferry.ShardID(shard), UUID: c.UUID, Index: mustMarshal(p.t, bson.D{{"_id", 1}})}}
	}
	cur, err := p.from.Database("config").Collection("chunks").Find(p.t.Context(), bson.D{{"uuid", c.UUID.Binary()}})
	require.NoError(p.t, err)
	var chunks []struct {
		Shard    string
		Min, Max bson.Raw
	}
	require.NoError(p.t, cur.All(p.t.Context(), &chunks))
	var out []shardferry.CopyTask
	for _, ch := range chunks {
		out = append(out, shardferry.CopyTask{
			Shard: shardferry.ShardID(ch.Shard), UUID: c.UUID, Index: mustMarshal(p.t, key), Min: ch.Min, Max: ch.Max,
		})
	}
	return out
}

// A lead stands for the coordinator: it keeps assignments and takes reports.
type lead struct {
	mu       sync.Mutex
	shards   map[shardferry.ShardID]*shard
	sessions int
}

type shard struct {
	lead    *lead
	a       shardferry.Assignment
	changed chan struct{}
	last    shardferry.Report
	reports int
	refuse  error
}

func (p *pair) newLead(colls map[shardferry.UUID]shardferry.Collection, tasks []shardferry.CopyTask) *lead {
	p.t.Helper()
	from, err := mongoconn.Note(p.t.Context(), p.from, "start")
	require.NoError(p.t, err)
	l := &lead{shards: map[shardferry.ShardID]*shard{}}
	for _, id := range p.src.Shards() {
		l.shards[shardferry.ShardID(id)] = &shard{lead: l, changed: make(chan struct{}), a: shardferry.Assignment{
			Shard: shardferry.ShardID(id), Epoch: 1, From: from, Collections: colls, Catalogued: from,
		}}
	}
	for i, t := range tasks {
		t.ID = int64(i + 1)
		s := l.shards[t.Shard]
		s.a.Tasks = append(s.a.Tasks, t)
	}
	return l
}

func (s *shard) Watch() (shardferry.Assignment, <-chan struct{}) {
	s.lead.mu.Lock()
	defer s.lead.mu.Unlock()
	return s.a, s.changed
}

// Report keeps what would be replicated: the position and the tasks.
func (s *shard) Report(_ context.Context, r shardferry.Report) error {
	s.lead.mu.Lock()
	defer s.lead.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	if r.Epoch != s.a.Epoch {
		return shardferry.ErrStaleEpoch
	}
	s.last = r
	s.reports++
	tasks := append([]shardferry.CopyTask{}, s.a.Tasks...)
	for _, p := range r.Tasks {
		for i := range tasks {
			if tasks[i].ID == p.ID {
				tasks[i].Resume, tasks[i].Docs, tasks[i].Bytes, tasks[i].Done = p.Resume, p.Docs, p.Bytes, p.Done
			}
		}
	}
	s.a.Tasks = tasks
	s.a.From = shardferry.LaterOf(s.a.From, r.Applied)
	return nil
}

// assign changes the assignments of every shard.
func (l *lead) assign(change func(a *shardferry.Assignment)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.shards {
		change(&s.a)
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (l *lead) reports() map[shardferry.ShardID]shardferry.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[shardferry.ShardID]shardferry.Report{}
	for id, s := range l.shards {
		out[id] = s.last
	}
	return out
}

func (l *lead) undone() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.shards {
		for _, t := range s.a.Tasks {
			if !t.Done {
				n++
			}
		}
	}
	return n
}

// work starts a worker for each shard and returns a function that stops them, as
// a crash would: nothing is reported any more.
func (p *pair) work(l *lead, tune func(*shardworker.Config)) (stop func() []error) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for id, s := range l.shards {
		cfg := shardworker.Config{
			Shard: id, Source: p.from, Destination: p.to, Sharded: p.sharded, Assignments: s, Reporter: s,
			SessionsStarted: func(_ context.Context, ids []bson.Raw) error {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.sessions += len(ids)
				return nil
			},
		}
		if tune != nil {
			tune(&cfg)
		}
		w, err := shardworker.New(cfg)
		require.NoError(p.t, err)
		p.workers.Add(1)
		wg.Go(func() {
			defer p.workers.Done()
			err := w.Run(ctx)
			if ctx.Err() == nil {
				p.mu.Lock()
				p.failed = append(p.failed, err)
				p.mu.Unlock()
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	return func() []error {
		cancel()
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		return errs
	}
}

// crash stops the workers without a last report and raises the epoch.
func (l *lead) crash(stop func() []error) {
	l.mu.Lock()
	for _, s := range l.shards {
		s.a.Epoch++
	}
	l.mu.Unlock()
	stop()
}

// settle waits until everything that is on the source now is on the destination.
func (p *pair) settle(l *lead) {
	p.t.Helper()
	var until bson.Timestamp
	for range 2 { // the second note lets the stream pass the time of the first
		at, err := mongoconn.Note(p.t.Context(), p.from, "end")
		require.NoError(p.t, err)
		if until.IsZero() {
			until = at
		}
		time.Sleep(time.Second)
	}
	for range 600 {
		require.NoError(p.t, p.failure())
		reached := l.undone() == 0
		for _, r := range l.reports() {
			reached = reached && !r.Applied.Before(until)
		}
		if reached {
			return
		}
		time.Sleep(time.Second)
		if _, err := mongoconn.Note(p.t.Context(), p.from, "end"); err != nil {
			p.t.Logf("note: %v", err)
		}
	}
	p.t.Fatalf("after ten minutes %d tasks are undone, want %v: %+v", l.undone(), until, l.reports())
}

// docs reads a collection by _id and shard key, as bytes.
func (p *pair) docs(cl *mongo.Client, ns shardferry.Namespace) map[string]int {
	p.t.Helper()
	cur, err := cl.Database(ns.DB).Collection(ns.Coll).Find(p.t.Context(), bson.D{})
	require.NoError(p.t, err)
	out := map[string]int{}
	for cur.Next(p.t.Context()) {
		out[string(cur.Current)]++
	}
	require.NoError(p.t, cur.Err())
	return out
}

// requireEqual compares both sides byte for byte.
func (p *pair) requireEqual(ns shardferry.Namespace) int {
	p.t.Helper()
	want, got := p.docs(p.from, ns), p.docs(p.to, ns)
	var diff []string
	for d, n := range want {
		if got[d] != n {
			diff = append(diff, fmt.Sprintf("lacks %v", bson.Raw(d)))
		}
	}
	for d, n := range got {
		if want[d] != n {
			diff = append(diff, fmt.Sprintf("has %v", bson.Raw(d)))
		}
	}
	require.Empty(p.t, diff, "%s: the destination differs", ns)
	return len(want)
}

// order reads the _ids of a collection in natural order.
func (p *pair) order(cl *mongo.Client, ns shardferry.Namespace) (ids []int64) {
	p.t.Helper()
	cur, err := cl.Database(ns.DB).Collection(ns.Coll).Find(p.t.Context(), bson.D{}, options.Find().SetHint(bson.D{{"$natural", 1}}))
	require.NoError(p.t, err)
	for cur.Next(p.t.Context()) {
		ids = append(ids, cur.Current.Lookup("_id").AsInt64())
	}
	require.NoError(p.t, cur.Err())
	return ids
}
