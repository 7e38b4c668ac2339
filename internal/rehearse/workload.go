package rehearse

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A Workload plays applications that go on writing through everything: inserts,
// updates, array changes, deletes, transactions and some schema changes. When a
// cluster refuses their writes they turn to the other one, as soon as it takes
// them.
type Workload struct {
	Rate    int           // operations a second
	Writers int           // goroutines that share them; default 4
	Schema  time.Duration // time between two schema changes; 0: none
	Seed    uint64
	Logger  *slog.Logger

	mu     sync.Mutex
	home   *mongo.Client // the cluster that the applications use
	other  *mongo.Client
	writes int64
	outage outage
}

// outage measures how long writes are refused.
type outage struct {
	since time.Time // zero: writes are taken
	last  time.Duration
}

// SetClusters tells the applications which cluster they use, and which one they
// turn to when it refuses writes.
func (w *Workload) SetClusters(home, other *mongo.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.home, w.other = home, other
}

// Writes returns how many operations were acknowledged.
func (w *Workload) Writes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// LastOutage returns for how long writes were refused the last time.
func (w *Workload) LastOutage() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outage.last
}

// Refused reports whether an outage lasts: writes were refused, and none has
// certainly landed since.
func (w *Workload) Refused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.outage.since.IsZero()
}

func (w *Workload) current() *mongo.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.home
}

// acknowledged notes an operation that a cluster took. Only one that certainly
// wrote something ends an outage: a delete that found nothing passes a write
// block.
func (w *Workload) acknowledged(wrote bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	if wrote && !w.outage.since.IsZero() {
		w.outage.last, w.outage.since = time.Since(w.outage.since), time.Time{}
	}
}

// refused notes that a cluster is write-blocked. If it is the one in use the
// applications turn to the other one. If it is not, the refusal is late news:
// they have turned already, and writes may be taken again.
func (w *Workload) refused(by *mongo.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.home != by {
		return
	}
	if w.outage.since.IsZero() {
		w.outage.since = time.Now()
	}
	w.home, w.other = w.other, w.home
}

// Run writes until ctx ends. Losing an operation to a network error or an
// election is an application's everyday life; anything else is an error.
func (w *Workload) Run(ctx context.Context) error {
	writers := max(w.Writers, 1)
	if w.Writers == 0 {
		writers = 4
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range writers {
		g.Go(func() error {
			app := application{w: w, r: rand.New(rand.NewPCG(w.Seed, uint64(i))), id: i}
			return w.every(ctx, time.Duration(writers)*time.Second/time.Duration(max(w.Rate, 1)), app.step)
		})
	}
	if w.Schema > 0 {
		g.Go(func() error {
			dba := schemaChanges{r: rand.New(rand.NewPCG(w.Seed, 1<<32))}
			return w.every(ctx, w.Schema, dba.step)
		})
	}
	return g.Wait()
}

const refusedPause = 5 * time.Millisecond

// every calls step again and again, on whichever cluster takes writes. A step
// tells whether it certainly wrote something.
func (w *Workload) every(ctx context.Context, pause time.Duration, step func(context.Context, *mongo.Client) (wrote bool, err error)) error {
	tick := time.NewTicker(max(pause, time.Microsecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		home := w.current()
		wrote, err := step(ctx, home)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			w.acknowledged(wrote)
		case mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked):
			w.refused(home)
			if err := mongoconn.Sleep(ctx, refusedPause); err != nil {
				return err
			}
		case mongoconn.Classify(err) == mongoconn.Transient:
		default:
			return fmt.Errorf("workload: %w", err)
		}
	}
}
