package mongos

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// defaultAwait is how long a getMore without maxTimeMS waits for events.
const defaultAwait = time.Second

// changeStream opens a stream on every shard and merges them. The shards run
// only the $changeStream stage; the user's stages run behind the merge.
func (o *op) changeStream(ctx context.Context, stages []bson.Raw) (bson.Raw, error) {
	if o.txn != nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "$changeStream may not be used in a transaction")
	}
	coll := getString(o.req.Body, "aggregate")
	spec, err := changestream.ParseSpec(stages[0], o.req.DB, coll)
	if err != nil {
		return nil, err
	}
	if spec.Collation, err = defaultCollation(o.req.Body); err != nil {
		return nil, err
	}
	if spec.ShowMigrationEvents {
		return nil, mongoerr.New(31123, "Change streams from mongos may not show migration events")
	}
	ns := o.req.DB + ".$cmd.aggregate"
	if coll != "" {
		ns = o.req.DB + "." + coll
	}
	options := getDoc(stages[0], "$changeStream")
	if spec.Start == nil {
		start := o.r.cfg.Clock.Now()
		start.I++ // as the server does, one increment ahead of the cluster time
		spec = spec.StartingAt(start)
		options = set(options, bson.E{Key: "startAtOperationTime", Value: start})
	}
	target, _ := value.Get(o.req.Body, "aggregate")
	cmd := bson.D{
		{"aggregate", target},
		{"pipeline", bson.A{bson.D{{"$changeStream", options}}}},
		{"cursor", bson.D{{"batchSize", int32(0)}}},
		{"fromMongos", true},
		{"needsMerge", true},
	}
	f := &streamFeed{bound: &binding{op: o}, base: o.read(o.req.DB, cmd)}
	return o.startStream(ctx, ns, f, spec, stages[1:])
}

// startStream opens the stream on every shard. One that joins meanwhile finds
// the feed registered and waits for its turn.
func (o *op) startStream(ctx context.Context, ns string, f *streamFeed, spec changestream.Spec, rest []bson.Raw) (bson.Raw, error) {
	leave := o.r.catalog.streams.enter(f)
	remotes, err := o.openAll(ctx, o.r.catalog.streamed(), func(string) call { return f.base })
	if err == nil {
		f.remotes = remotes
		f.merge, err = changestream.NewMerge(f.sources(remotes), spec, rest, o.r.cfg.Version)
	}
	leave()
	if err != nil {
		f.close(ctx, o)
		return nil, err
	}
	return o.start(ctx, ns, f, -1, false, nil)
}

// A streamFeed gives the batches of a merged change stream.
type streamFeed struct {
	bound   *binding
	base    call          // opens it on a shard
	turn    chan struct{} // holds an element while the rest is in use
	closed  bool
	merge   *changestream.Merge
	remotes []*remote
	started bool
}

func (f *streamFeed) sources(remotes []*remote) []changestream.Remote {
	sources := make([]changestream.Remote, len(remotes))
	for i, m := range remotes {
		sources[i] = &streamRemote{bound: f.bound, m: m}
	}
	return sources
}

// join adds a shard that comes to the cluster. What happened there before is not
// the cluster's.
func (f *streamFeed) join(ctx context.Context, o *op, shard string, since bson.Timestamp) error {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return interrupted(ctx, ctx.Err())
	}
	defer func() { <-f.turn }()
	if f.merge == nil || f.closed || slices.ContainsFunc(f.remotes, func(m *remote) bool { return m.shard == shard }) {
		return nil
	}
	in := &op{r: o.r, req: f.bound.op.req}
	base := f.base
	base.body = startingAt(base.body, since)
	m, err := in.open(ctx, shard, base)
	if err != nil {
		return err
	}
	f.remotes = append(f.remotes, m)
	f.merge.Add(&streamRemote{bound: f.bound, m: m})
	return nil
}

// startingAt is the command that opens a stream, with another beginning.
func startingAt(body bson.Raw, since bson.Timestamp) bson.Raw {
	options := edit(getDoc(getDocs(body, "pipeline")[0], "$changeStream"), []string{"resumeAfter", "startAfter", "startAtOperationTime"}, bson.E{Key: "startAtOperationTime", Value: since})
	return set(body, bson.E{Key: "pipeline", Value: bson.A{bson.D{{"$changeStream", options}}}})
}

func (f *streamFeed) batch(ctx context.Context, o *op, d demand) (batch, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return batch{}, interrupted(ctx, ctx.Err())
	}
	defer func() { <-f.turn }()
	if !f.started { // the reply to aggregate holds no events: the shards sent none yet
		f.started = true
		return batch{extra: resumePoint(f.merge.PBRT())}, nil
	}
	f.bound.op = o
	wait := defaultAwait
	if d.waitMS >= 0 {
		wait = time.Duration(d.waitMS) * time.Millisecond
	}
	docs, pbrt, closed, err := f.merge.Next(ctx, int(max(d.size, 0)), maxReplyBytes, wait)
	if err != nil {
		return batch{}, err
	}
	return batch{docs: docs, extra: resumePoint(pbrt), done: closed}, nil
}

func resumePoint(pbrt bson.Raw) bson.D {
	if pbrt == nil {
		return nil
	}
	return bson.D{{"postBatchResumeToken", pbrt}}
}

func (f *streamFeed) close(ctx context.Context, o *op) {
	o.r.catalog.streams.remove(f)
	f.turn <- struct{}{} // whoever has it is about to end
	defer func() { <-f.turn }()
	f.closed = true
	for _, m := range f.remotes {
		m.close(ctx, o)
	}
}

// A streamRemote is one shard of a merged change stream.
type streamRemote struct {
	bound   *binding
	m       *remote
	started bool
}

// Next implements changestream.Remote.
func (s *streamRemote) Next(ctx context.Context, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error) {
	if s.started && s.m.id != 0 {
		ms := max(wait.Milliseconds(), 1) // 0 would mean the shard's own default
		if err := s.m.more(ctx, s.bound.op, bson.E{Key: "maxTimeMS", Value: ms}); err != nil {
			return nil, nil, false, err
		}
	}
	s.started = true
	for _, e := range s.m.extra {
		if v, ok := e.Value.(bson.RawValue); ok && e.Key == "postBatchResumeToken" {
			pbrt, _ = v.DocumentOK()
		}
	}
	docs, s.m.buf = s.m.buf, nil
	return docs, pbrt, s.m.id == 0, nil
}

// A streamSet holds the merged streams that are open on all routers.
type streamSet struct {
	mu   sync.Mutex
	open map[*streamFeed]bool
}

func newStreamSet() *streamSet { return &streamSet{open: map[*streamFeed]bool{}} }

// enter registers a stream, whose turn the caller has until it calls leave.
func (s *streamSet) enter(f *streamFeed) (leave func()) {
	f.turn = make(chan struct{}, 1)
	f.turn <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[f] = true
	return func() { <-f.turn }
}

func (s *streamSet) remove(f *streamFeed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, f)
}

func (s *streamSet) list() []*streamFeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}
