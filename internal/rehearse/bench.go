package rehearse

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// Bench measures a sync between two simulated clusters. The clusters and the
// sync are three processes, so that the costs of the sync are its own.
type Bench struct {
	BenchParameters
	Program []string // how to run this program; commands are appended
	Env     []string // of the children, besides the own one
	Dir     string   // for the state of the sync; must exist
	Version string
}

// benchFormat is raised when a field of the report changes its meaning.
const benchFormat = 1

// Run measures. It returns after every child has ended, also when ctx ends.
func (b *Bench) Run(ctx context.Context) (BenchReport, error) {
	rep := BenchReport{Format: benchFormat, Version: b.Version, Machine: thisMachine(), Parameters: b.BenchParameters}
	source, err := b.cluster(ctx, "source", b.Shards)
	if err != nil {
		return rep, err
	}
	dest, err := b.cluster(ctx, "destination", b.DestShards)
	if err != nil {
		return rep, errors.Join(err, source.child.stop())
	}
	err = b.measure(ctx, source, dest, &rep)
	return rep, errors.Join(err, dest.child.stop(), source.child.stop())
}

// A benchCluster is a simulated cluster in a process of its own.
type benchCluster struct {
	child  *process
	uri    string
	shards []string
}

func (b *Bench) cluster(ctx context.Context, name string, shards int) (*benchCluster, error) {
	port, err := freePorts(ctx, shards+2) // a router and a config server besides
	if err != nil {
		return nil, err
	}
	child, err := b.start(ctx, "sandbox", "--json", "--name", name, "--shards", strconv.Itoa(shards), "--port", strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	var ready struct {
		URI    string   `json:"operatorUri"`
		Shards []string `json:"shards"`
	}
	if err := child.next(&ready); err != nil {
		return nil, errors.Join(err, child.stop())
	}
	child.discard()
	return &benchCluster{child: child, uri: ready.URI, shards: ready.Shards}, nil
}

func (b *Bench) measure(ctx context.Context, source, dest *benchCluster, rep *BenchReport) error {
	client, err := mongoconn.Connect(mongoconn.Config{URI: source.uri, AppName: "shardferry bench"})
	if err != nil {
		return err
	}
	defer disconnect(ctx, client)
	w := newBenchWriter(client, source.shards, b.BenchParameters)
	began := time.Now()
	if rep.Load, err = w.load(ctx, b.Docs); err != nil {
		return err
	}
	rep.Load.Seconds = time.Since(began).Seconds()
	rep.Load.conclude()
	if err := rest(ctx); err != nil {
		return err
	}
	port, err := freePorts(ctx, 1)
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	child, err := b.start(ctx, "sync", "--json", "--interval", "1s", "--source", source.uri, "--destination", dest.uri,
		"--data-dir", filepath.Join(b.Dir, "state"), "--api-addr", addr,
		"--lanes", strconv.Itoa(b.Lanes), "--copiers", strconv.Itoa(b.Copiers))
	if err != nil {
		return err
	}
	run := benchRun{Bench: b, child: child, node: api.NewClient(addr), writer: w, source: client, rep: rep}
	if err := errors.Join(run.phases(ctx), child.stop()); err != nil {
		return err
	}
	rep.Process = child.life()
	for _, c := range []BenchCost{rep.Copy.BenchCost, rep.CatchUp.BenchCost, rep.Live.BenchCost, rep.Verify.BenchCost} {
		if c.Peak != nil { // each began with a peak of its own
			rep.Process.Peak = max(rep.Process.Peak, *c.Peak)
		}
	}
	return nil
}

// rest lets the clusters settle before something else is measured.
func rest(ctx context.Context) error { return mongoconn.Sleep(ctx, 500*time.Millisecond) }

// benchRun measures one process that syncs.
type benchRun struct {
	*Bench
	child  *process
	node   *api.Client
	writer *benchWriter
	source *mongo.Client
	rep    *BenchReport
}

func (b *benchRun) phases(ctx context.Context) error {
	m := b.child.meter()
	var first struct{}
	if err := b.child.next(&first); err != nil { // it is up, or ended with a complaint
		return err
	}
	b.child.discard()
	for _, phase := range []func(context.Context) error{
		func(ctx context.Context) error { return b.copy(ctx, m) }, b.catchUp, b.live, b.verify, b.commit,
	} {
		if err := phase(ctx); err != nil {
			return err
		}
		if err := rest(ctx); err != nil {
			return err
		}
	}
	return nil
}

// copy measures from the first progress of the copy to the end of its last
// task. CPU counts from the start of the process.
func (b *benchRun) copy(ctx context.Context, m meter) error {
	first, err := b.until(ctx, "the start of the copy", copyPoll, func(p api.Progress) bool { return p.Detail.TasksTotal > 0 && p.Detail.Phase != "creating" })
	if err != nil {
		return err
	}
	began := time.Now()
	last, err := b.until(ctx, "the end of the copy", copyPoll, func(p api.Progress) bool { return p.Detail.TasksDone == p.Detail.TasksTotal })
	if err != nil {
		return err
	}
	b.rep.Copy = BenchWork{
		Documents: last.Detail.DocumentsCopied - first.Detail.DocumentsCopied,
		Bytes:     last.CollectionCopy.Copied - first.CollectionCopy.Copied,
		Seconds:   time.Since(began).Seconds(), BenchCost: m.read(),
	}
	b.rep.Copy.conclude()
	_, err = b.until(ctx, "the end of the preparations", copyPoll, func(p api.Progress) bool { return p.CanCommit })
	return err
}

// catchUp measures how fast events are applied that wait in the oplog.
func (b *benchRun) catchUp(ctx context.Context) error {
	if err := b.node.Command(ctx, "pause"); err != nil {
		return err
	}
	before, err := b.node.Progress(ctx)
	if err != nil {
		return err
	}
	n, err := b.writer.changes(ctx, b.Docs, b.Events, 0)
	if err != nil {
		return err
	}
	if err := rest(ctx); err != nil {
		return err
	}
	m, began := b.child.meter(), time.Now()
	if err := b.node.Command(ctx, "resume"); err != nil {
		return err
	}
	b.rep.CatchUp, err = b.applied(ctx, n, before, m, began)
	return err
}

// live measures how fast events are applied while they are written. Where the
// writer is the slower one, the costs tell more than the time.
func (b *benchRun) live(ctx context.Context) error {
	before, err := b.node.Progress(ctx)
	if err != nil {
		return err
	}
	m, began := b.child.meter(), time.Now()
	n, err := b.writer.changes(ctx, b.Docs, b.Events, 1)
	if err != nil {
		return err
	}
	b.rep.Live, err = b.applied(ctx, n, before, m, began)
	return err
}

func (b *benchRun) applied(ctx context.Context, n int64, before api.Progress, m meter, began time.Time) (BenchEvents, error) {
	target, err := mongoconn.Note(ctx, b.source, "bench")
	if err != nil {
		return BenchEvents{}, err
	}
	after, err := b.until(ctx, "the events", eventPoll, func(p api.Progress) bool {
		return !shardferry.ClusterTime(p.Detail.ResumePoint).Before(target)
	})
	if err != nil {
		return BenchEvents{}, err
	}
	e := BenchEvents{Events: n, Repairs: after.Detail.Repairs - before.Detail.Repairs, Seconds: time.Since(began).Seconds(), BenchCost: m.read()}
	e.conclude()
	if got := after.TotalEvents - before.TotalEvents; got < n {
		return e, fmt.Errorf("%d changes were written, but only %d events applied", n, got)
	}
	return e, nil
}

func (b *benchRun) verify(ctx context.Context) error {
	m, began := b.child.meter(), time.Now()
	r, err := b.node.Verify(ctx)
	if err != nil {
		return err
	}
	v := BenchVerify{Differences: r.Total, BenchWork: BenchWork{Documents: r.Documents, Bytes: r.Bytes, Seconds: time.Since(began).Seconds(), BenchCost: m.read()}}
	v.conclude()
	b.rep.Verify = v
	if !r.Equal() {
		return fmt.Errorf("%w in %d places, first %+v", ErrDifferent, r.Total, r.Differences[0])
	}
	return nil
}

// commit measures how long writes are blocked, and in which steps.
func (b *benchRun) commit(ctx context.Context) error {
	if _, err := b.until(ctx, "a small lag", eventPoll, func(p api.Progress) bool { return p.CanCommit }); err != nil {
		return err
	}
	steps := map[string]int64{}
	step, since := "", time.Now()
	if err := b.node.Command(ctx, "commit"); err != nil {
		return err
	}
	last, err := b.until(ctx, "the commit", stepPoll, func(p api.Progress) bool {
		c := p.Detail.Commit
		if c == nil {
			return false
		}
		if !c.InProgress || c.Step != step {
			if step != "" {
				steps[step] += time.Since(since).Milliseconds()
			}
			step, since = c.Step, time.Now()
		}
		return p.State == shardferry.StateCommitted
	})
	if err != nil {
		return err
	}
	c := last.Detail.Commit
	b.rep.Commit = BenchCommit{BlockedMS: c.BlockedMS, Documents: c.Documents, Steps: steps}
	return nil
}

// How often progress is asked for: often enough for the precision, seldom
// enough to cost the measured process nothing.
const (
	copyPoll  = 50 * time.Millisecond
	eventPoll = 50 * time.Millisecond
	stepPoll  = 5 * time.Millisecond
)

// until polls the node until the condition holds. It fails if the sync stops by
// itself.
func (b *benchRun) until(ctx context.Context, what string, every time.Duration, holds func(api.Progress) bool) (api.Progress, error) {
	for {
		p, err := b.node.Progress(ctx)
		if err != nil {
			return p, fmt.Errorf("wait for %s: %w", what, err)
		}
		if p.Detail.Hold != "" {
			return p, fmt.Errorf("wait for %s: the sync paused by itself: %s", what, p.Detail.Hold)
		}
		if c := p.Detail.Commit; c != nil && c.Failure != "" {
			return p, fmt.Errorf("wait for %s: the commit was given up: %s", what, c.Failure)
		}
		if holds(p) {
			return p, nil
		}
		if err := mongoconn.Sleep(ctx, every); err != nil {
			return p, fmt.Errorf("wait for %s: %w", what, err)
		}
	}
}
