package capacity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A Load is one size that is measured.
type Load struct {
	Shards int `json:"shards"`
	Tasks  int `json:"tasks"`
}

// Collections returns of how many collections the tasks are.
func (l Load) Collections() int { return max(1, l.Tasks/10) }

// A Result is what was measured of one Load. Memory and CPU are those of the three
// nodes and of all simulated workers together.
type Result struct {
	Load
	Collections int `json:"collections"`

	Election float64 `json:"election_seconds"` // from the start of three nodes to the first command
	PlanSize int64   `json:"plan_bytes"`       // the largest entry of the log
	PlanTime float64 `json:"plan_seconds"`

	Wanted   float64 `json:"reports_per_second_wanted"`
	Reports  float64 `json:"reports_per_second"`
	Commands float64 `json:"commands_per_second"`
	P50      float64 `json:"report_ms_p50"` // from a worker's report to its answer
	P99      float64 `json:"report_ms_p99"`
	CPU      float64 `json:"cpu_seconds_per_second"`
	Heap     int64   `json:"heap_bytes"`
	Lost     int64   `json:"leaders_lost"` // while it was planned and reported; none should be

	SnapshotSize int64   `json:"snapshot_bytes"`
	SnapshotTime float64 `json:"snapshot_seconds"`
	PlainSize    int64   `json:"state_bytes"` // the state before it is compressed
	LogSize      int64   `json:"log_bytes"`   // raft.db of one node

	Failover float64 `json:"failover_seconds"` // from the end of the leader to the next command
}

// Measure measures one load for a time, with files under dir.
func Measure(ctx context.Context, l Load, dir string, lasts time.Duration) (r Result, err error) {
	r = Result{Load: l, Collections: l.Collections()}
	t := time.Now()
	c, err := begin(ctx, dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	r.Election = time.Since(t).Seconds()

	plan := Plan(l.Shards, l.Collections(), l.Tasks)
	b, err := bson.Marshal(plan)
	if err != nil {
		return r, err
	}
	r.PlanSize = int64(len(b))
	if err := c.record(ctx, Start()); err != nil {
		return r, err
	}
	t = time.Now()
	if err := c.record(ctx, plan); err != nil {
		return r, err
	}
	r.PlanTime = time.Since(t).Seconds()
	if err := handOut(ctx, c, l); err != nil {
		return r, err
	}
	if err := r.report(ctx, c, lasts); err != nil {
		return r, err
	}
	r.Lost = c.losses()
	if err := r.snapshot(c, dir); err != nil {
		return r, err
	}
	t = time.Now()
	if err := c.lose(); err != nil {
		return r, err
	}
	if err := c.record(ctx, state.IndexesBuilt{Leg: 1}); err != nil {
		return r, err
	}
	r.Failover = time.Since(t).Seconds()
	return r, nil
}

// handOut gives every shard to a node.
func handOut(ctx context.Context, c *cluster, l Load) error {
	if err := c.record(ctx, state.Created{}); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range l.Shards {
		g.Go(func() error {
			return c.record(gctx, state.Assign{Leg: 1, Shard: shardID(i), Owner: fmt.Sprintf("n%d", i%nodes+1)})
		})
	}
	return g.Wait()
}

func (r *Result) snapshot(c *cluster, dir string) error {
	s, _ := c.all[0].Watch()
	b, err := bson.Marshal(s)
	if err != nil {
		return err
	}
	r.PlainSize = int64(len(b))
	var to bytes.Buffer
	t := time.Now()
	if err := coordinator.WriteSnapshot(&to, s); err != nil {
		return err
	}
	r.SnapshotTime, r.SnapshotSize = time.Since(t).Seconds(), int64(to.Len())
	file, err := os.Stat(filepath.Join(dir, "n1", "raft.db"))
	if err != nil {
		return err
	}
	r.LogSize = file.Size()
	return nil
}

// cpu returns the CPU time that this process has taken.
func cpu() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
