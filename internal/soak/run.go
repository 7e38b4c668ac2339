package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/mortal"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/soak/checker"
	"github.com/shardferry/shardferry/mongotest"
)

// A Result is what a history showed.
type Result struct {
	Plan    *Plan
	Tally   *tally
	Err     error // nil: it ended as it should
	Trace   []string
	Virtual time.Duration
	Real    time.Duration
}

// play plays a history in virtual time.
func play(p *Plan) *Result {
	began := time.Now()
	h := &history{plan: p, tally: newTally(), crashes: slices.Clone(p.Crashes)}
	res := &Result{Plan: p, Tally: h.tally}
	dir, err := os.MkdirTemp("", "shardferry-soak-")
	if err == nil {
		err = mortal.Bubble(func(ctx context.Context) error {
			h.began = time.Now()
			err := h.inside(ctx, dir)
			res.Virtual = time.Since(h.began)
			return err
		})
		err = errors.Join(err, os.RemoveAll(dir))
	}
	res.Err, res.Trace, res.Real = err, h.lines, time.Since(began)
	return res
}

// A history is one that is being played.
type history struct {
	plan     *Plan
	tally    *tally
	began    time.Time
	clusters [2]*mongotest.Cluster
	world    *world
	process  *mortal.Process
	before   *checker.Cluster // the destination, when nothing has happened
	looks    [2]*mongo.Client // of those who check

	mu      sync.Mutex
	lines   []string
	now     Phase
	crashes []Crash // that are still to come
	dead    bool    // the node, until another one is started
	rest    time.Duration
	deathIn Phase // of the last one
	died    chan shardferry.Moment
	refused bool // what the history is about, and must be refused, has happened
}

var errOver = errors.New("soak: the history is over")

func (h *history) trace(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf("%9.3fs  ", time.Since(h.began).Seconds())+fmt.Sprintf(format, args...))
}

// inside runs two clusters and what happens with them.
func (h *history) inside(ctx context.Context, dir string) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, at := range []side{source, destination} {
		c, err := newCluster(h.plan, at)
		if err != nil {
			return err
		}
		h.clusters[at] = c
		g.Go(func() error { return c.Run(gctx) })
	}
	g.Go(func() error {
		for _, c := range h.clusters {
			<-c.Ready()
		}
		if err := h.between(gctx, dir); err != nil {
			return err
		}
		return errOver
	})
	if err := g.Wait(); !errors.Is(err, errOver) {
		return err
	}
	return nil
}

// between connects everybody, plays, and checks.
func (h *history) between(ctx context.Context, dir string) (err error) {
	app, err := application(h.clusters[source])
	if err != nil {
		return err
	}
	defer disconnect(ctx, app)
	h.world = &world{plan: h.plan, tally: h.tally, source: h.clusters[source], app: app}
	for at, c := range h.clusters {
		if h.looks[at], err = operator(c, "observer"); err != nil {
			return err
		}
		defer disconnect(ctx, h.looks[at])
	}
	if h.before, err = checker.Read(ctx, h.looks[destination]); err != nil {
		return err
	}
	from := h.clusters[source].ClusterTime()
	if err := h.world.prepareChosen(ctx, rand.New(rand.NewPCG(h.plan.Seed, 8))); err != nil {
		return err
	}
	for n := range writers {
		if err := h.write(ctx, Before, n); err != nil {
			return err
		}
	}
	if err := h.world.fill(ctx, rand.New(rand.NewPCG(h.plan.Seed, 6)), h.plan.Fill); err != nil {
		return err
	}
	if err := h.world.prepareChosen(ctx, rand.New(rand.NewPCG(h.plan.Seed, 9))); err != nil {
		return err
	}
	for at, c := range h.clusters {
		latency(c, h.plan.Seed+uint64(at), h.plan.Latency)
	}
	h.process = mortal.New(node.Config{
		DataDir: dir, Source: config(h.clusters[source], h.plan.URI), Destination: config(h.clusters[destination], ""),
		CommitBudget: time.Minute, Lanes: 3, Copiers: 2, BatchDocs: h.plan.Batch, Logger: h.logger(),
	}, nil)
	h.died = make(chan shardferry.Moment)
	lives := shardferry.WithReached(ctx, h.reached)
	if err := h.process.Start(lives); err != nil {
		return err
	}
	end, err := h.drive(lives)
	if err != nil {
		if strings.Contains(err.Error(), differ) {
			h.tellDifferences(ctx)
		}
		return errors.Join(err, h.process.Stop())
	}
	if err := h.lastDeath(lives); err != nil {
		return errors.Join(err, h.process.Stop())
	}
	for _, c := range h.clusters {
		c.SetFaults(mongotest.Faults{})
	}
	if err := h.check(ctx, end); err != nil {
		return errors.Join(err, h.process.Stop())
	}
	h.tally.add("ending", end)
	h.tally.add("choice", h.plan.Choice.name)
	h.tally.add("topology", fmt.Sprintf("%d to %d shards", h.plan.Shards[source], h.plan.Shards[destination]))
	h.tally.add("version", h.plan.Versions[source]+" to "+h.plan.Versions[destination])
	h.countEvents(ctx, from)
	return h.process.Stop()
}

// tellDifferences traces what the checker finds where the product has found
// differences.
func (h *history) tellDifferences(ctx context.Context) {
	_, diffs, err := h.compare(ctx)
	if err != nil {
		h.trace("the checker cannot compare: %v", err)
	}
	for _, d := range diffs {
		h.trace("the checker: %s", d)
	}
}

// compare lets the checker compare the clusters, and returns what the destination
// should hold.
func (h *history) compare(ctx context.Context) (*checker.Cluster, []string, error) {
	var read [2]*checker.Cluster
	for at, client := range h.looks {
		var err error
		if read[at], err = checker.Read(ctx, client); err != nil {
			return nil, nil, fmt.Errorf("read the %v: %w", side(at), err)
		}
	}
	want := read[source].Wanted(h.plan.Choice.goes, h.plan.Choice.filters())
	if h.plan.Accounts {
		want = want.With(h.before, own)
	} else {
		want.Accounts = h.before.Accounts
	}
	return want, checker.Compare(want, read[destination]), nil
}

// onlyExpired reports whether nothing differs but that documents of the change
// "expire documents" are gone from the destination.
func onlyExpired(diffs []string) bool {
	return !slices.ContainsFunc(diffs, func(d string) bool { return !strings.Contains(d, ` lacks {"_id": "`+expiring) })
}

// wayBack is how long the old source may take to follow after a commit.
const wayBack = 10 * time.Second

// check compares the clusters, by the checker and by the product.
func (h *history) check(ctx context.Context, end string) error {
	if end != committed {
		return nil
	}
	for began := time.Now(); ; {
		want, diffs, err := h.compare(ctx)
		if err != nil {
			return err
		}
		if len(diffs) == 0 {
			h.tally.addN("checked", "documents", want.Documents())
			h.tally.addN("checked", "collections", len(want.Collections))
			h.tally.addN("checked", "users and roles", len(want.Accounts)-len(h.before.Accounts))
			break
		}
		// What expires on the destination after the commit goes the way back. For
		// nothing else is there time: a late write would go the way back as well.
		if onlyExpired(diffs) && chooses(h.plan) {
			return nil // there is no way back
		}
		if !onlyExpired(diffs) || time.Since(began) > wayBack {
			const most = 5
			return fmt.Errorf("THE CLUSTERS DIFFER AND NOBODY SAID SO in %d places: %q", len(diffs), diffs[:min(most, len(diffs))])
		}
		if err := mongoconn.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	if chooses(h.plan) {
		return nil // the product compares no more: the source may change alone
	}
	report, err := h.process.Node().Verify(ctx)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if !report.Equal() {
		return fmt.Errorf("the product sees differences where there are none: %+v", report.Differences)
	}
	return nil
}

// countEvents counts what the source's change stream tells of the history.
func (h *history) countEvents(ctx context.Context, from bson.Timestamp) {
	events, err := readEvents(ctx, h.looks[source], h.plan, from)
	if err != nil {
		h.tally.add("events of the source", "streams that could not be read whole")
	}
	for _, e := range events {
		h.tally.add("events of the source", e)
	}
}
