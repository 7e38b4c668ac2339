package mongos

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// How long the balancer rests after a round that moved nothing, and after one
// that did.
const (
	balancerRest  = 10 * time.Second
	balancerPause = time.Second
)

// balancing is the state of the cluster's balancer. Every router tries to run
// it; one at a time does.
type balancing struct {
	mu      sync.Mutex
	rounds  int64
	next    time.Time
	running chan struct{} // closed at the end of the round, nil between rounds
}

// begin reports whether the caller shall run a round now; end must follow.
func (b *balancing) begin(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil || now.Before(b.next) {
		return false
	}
	b.running = make(chan struct{})
	return true
}

func (b *balancing) end(next time.Time, counts bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.running)
	b.running, b.next = nil, next
	if counts {
		b.rounds++
	}
}

// status returns the number of rounds and the channel that the present one
// closes, nil if there is none.
func (b *balancing) status() (int64, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rounds, b.running
}

// balance runs rounds of the balancer whenever one is due, until ctx ends.
func (r *Router) balance(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if !r.catalog.balancing.begin(now) {
				continue
			}
			on, moved, err := r.own().balancerRound(ctx)
			if err != nil && ctx.Err() == nil {
				r.cfg.Logger.WarnContext(ctx, "balancer round failed", "error", err)
			}
			rest := balancerRest
			if moved > 0 {
				rest = balancerPause
			}
			r.catalog.balancing.end(time.Now().Add(rest), on)
		}
	}
}

// balancerRound moves at most one range of each collection, if the balancer is
// on.
func (o *op) balancerRound(ctx context.Context) (on bool, moved int, err error) {
	setting, err := o.setting(ctx, "balancer")
	if err != nil || balancerOff(setting) || !inWindow(getDoc(setting, "activeWindow"), time.Now()) {
		return false, 0, err
	}
	for _, t := range o.r.catalog.tables("") {
		if t.unsplittable || t.noMigrations {
			continue
		}
		b, err := o.balanceOf(ctx, t)
		if err != nil {
			return true, moved, err
		}
		if b.off {
			continue
		}
		p, err := b.proposal(ctx)
		if err != nil {
			return true, moved, err
		}
		if p == nil {
			continue
		}
		if err := o.migrate(ctx, t, p.part, p.to); err != nil {
			o.r.cfg.Logger.DebugContext(ctx, "the balancer could not move a range", "ns", t.ns, "error", err)
			continue
		}
		moved++
	}
	return true, moved, nil
}

// balancerOff reads the balancer's setting, which clients write to as well.
func balancerOff(setting bson.Raw) bool {
	return getBool(setting, "stopped", false) || getString(setting, "mode") == "off"
}

// inWindow reports whether now is within the hours that the balancer is allowed:
// from start to stop, each "HH:MM", over midnight if stop is the smaller.
func inWindow(window bson.Raw, now time.Time) bool {
	start, err1 := time.Parse("15:04", getString(window, "start"))
	stop, err2 := time.Parse("15:04", getString(window, "stop"))
	if err1 != nil || err2 != nil {
		return true // the server ignores a window that it cannot read
	}
	minute := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
	if minute(start) <= minute(stop) {
		return minute(start) <= minute(now) && minute(now) <= minute(stop)
	}
	return minute(now) >= minute(start) || minute(now) <= minute(stop)
}

// balancerMode switches the balancer on or off. Off means that the round under
// way has ended.
func balancerMode(mode string) commandFunc {
	return func(ctx context.Context, o *op) (bson.Raw, error) {
		w := o.r.catalog.writes()
		w.put("settings", bson.E{Key: "_id", Value: "balancer"}, bson.D{{"$set", bson.D{{"mode", mode}, {"stopped", mode == "off"}}}})
		if err := w.send(ctx); err != nil || mode != "off" {
			return rawDoc(bson.D{}), err
		}
		_, running := o.r.catalog.balancing.status()
		if running == nil {
			return rawDoc(bson.D{}), nil
		}
		select {
		case <-running:
			return rawDoc(bson.D{}), nil
		case <-ctx.Done():
			return nil, interrupted(ctx, ctx.Err())
		}
	}
}

func balancerStatus(ctx context.Context, o *op) (bson.Raw, error) {
	s, err := o.setting(ctx, "balancer")
	if err != nil {
		return nil, err
	}
	mode := getString(s, "mode")
	if mode == "" {
		mode = "full"
	}
	if balancerOff(s) {
		mode = "off"
	}
	rounds, running := o.r.catalog.balancing.status()
	return rawDoc(bson.D{{"mode", mode}, {"inBalancerRound", running != nil}, {"numBalancerRounds", rounds}, {"term", int64(1)}}), nil
}
