package mongotest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Disturbance is something that goes wrong in a cluster: a [Partition], for one.
// docs/SIMULATOR.md lists them all.
type Disturbance interface {
	// kind is its name in the command simulate, and fields is what that command
	// says beside it.
	kind() string
	fields() bson.D
	// begin lets it begin. The function it returns ends it; nil means that it is
	// over already.
	begin(ctx context.Context, c *Cluster) (end func(context.Context) error, err error)
}

// An ActiveDisturbance is one that lasts.
type ActiveDisturbance struct {
	ID          int
	Disturbance Disturbance
	Since       time.Time
	Until       time.Time // zero if nothing ends it but EndDisturbance
	end         func(context.Context) error
}

// disturbances are those that last.
type disturbances struct {
	mu      sync.Mutex
	last    int
	all     []*ActiveDisturbance
	changed chan struct{} // closed when one comes
}

// ErrNoDisturbance reports that there is no disturbance of an id, or no more.
var ErrNoDisturbance = errors.New("no such disturbance")

// ErrLastsAlready reports that the same disturbance lasts already.
var ErrLastsAlready = errors.New("it lasts already")

// Disturb lets a disturbance begin. One that lasts ends when the time is over, if
// it is above zero and Run is running, else with EndDisturbance of its id. The id
// is 0 for what is done at once. The same twice is refused with ErrLastsAlready.
func (c *Cluster) Disturb(ctx context.Context, d Disturbance, lasts time.Duration) (id int, err error) {
	for _, a := range c.Disturbances() {
		if reflect.DeepEqual(a.Disturbance, d) {
			return 0, fmt.Errorf("mongotest: %s: %w, with id %d", d.kind(), ErrLastsAlready, a.ID)
		}
	}
	end, err := d.begin(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("mongotest: %s: %w", d.kind(), err)
	}
	if end == nil {
		return 0, nil
	}
	t := &c.disturbed
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	a := &ActiveDisturbance{ID: t.last, Disturbance: d, Since: time.Now(), end: end}
	if lasts > 0 {
		a.Until = a.Since.Add(lasts)
	}
	t.all = append(t.all, a)
	close(t.changed)
	t.changed = make(chan struct{})
	return a.ID, nil
}

// Disturbances returns those that last, in the order in which they began.
func (c *Cluster) Disturbances() []ActiveDisturbance {
	c.disturbed.mu.Lock()
	defer c.disturbed.mu.Unlock()
	var out []ActiveDisturbance
	for _, a := range c.disturbed.all {
		out = append(out, *a)
	}
	return out
}

// EndDisturbance ends one that lasts. It fails with ErrNoDisturbance if there is
// none of that id.
func (c *Cluster) EndDisturbance(ctx context.Context, id int) error {
	a := c.disturbed.remove(func(a *ActiveDisturbance) bool { return a.ID == id })
	if a == nil {
		return fmt.Errorf("mongotest: %w: id %d", ErrNoDisturbance, id)
	}
	return a.end(ctx)
}

// EndDisturbances ends all that last.
func (c *Cluster) EndDisturbances(ctx context.Context) error {
	var errs []error
	for {
		a := c.disturbed.remove(func(*ActiveDisturbance) bool { return true })
		if a == nil {
			return errors.Join(errs...)
		}
		errs = append(errs, a.end(ctx))
	}
}

// remove takes the first one out that is chosen, nil if none is.
func (t *disturbances) remove(choose func(*ActiveDisturbance) bool) *ActiveDisturbance {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.all, choose)
	if i < 0 {
		return nil
	}
	a := t.all[i]
	t.all = slices.Delete(t.all, i, i+1)
	return a
}

// next returns when the next one ends by itself, zero for never, and what closes
// when that may have changed.
func (t *disturbances) next() (time.Time, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var at time.Time
	for _, a := range t.all {
		if !a.Until.IsZero() && (at.IsZero() || a.Until.Before(at)) {
			at = a.Until
		}
	}
	return at, t.changed
}

// endDisturbances ends disturbances as their time is over, until ctx ends.
func (c *Cluster) endDisturbances(ctx context.Context) {
	for {
		at, changed := c.disturbed.next()
		if !reach(ctx, at, changed) {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		a := c.disturbed.remove(func(a *ActiveDisturbance) bool { return !a.Until.IsZero() && !a.Until.After(time.Now()) })
		if a == nil {
			continue // somebody else has ended it
		}
		if err := a.end(ctx); err != nil && ctx.Err() == nil {
			c.opts.Logger.WarnContext(ctx, "disturbance not ended", "kind", a.Disturbance.kind(), "error", err)
		}
	}
}

// reach waits for a time, the zero one never comes, and reports whether it has
// come: before changed was closed or ctx ended.
func reach(ctx context.Context, at time.Time, changed <-chan struct{}) bool {
	var over <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-changed:
	case <-ctx.Done():
	}
	return false
}
