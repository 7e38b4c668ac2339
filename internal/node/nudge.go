package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A sourceClock remembers the cluster time that the current source last told.
type sourceClock struct {
	mu  sync.Mutex
	leg int
	now shardferry.ClusterTime
	at  time.Time
}

// staleAfter is how old the source's time may be before lag counts as unknown.
const staleAfter = 15 * time.Second

func (c *sourceClock) set(leg int, now shardferry.ClusterTime) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leg, c.now, c.at = leg, now, time.Now()
}

// read returns the source's time, and false if it is not known well enough.
func (c *sourceClock) read(leg int) (shardferry.ClusterTime, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.leg == leg && !c.now.IsZero() && time.Since(c.at) < staleAfter
}

// nudge writes a note into the oplog of every source shard now and then: an
// idle shard's stream moves by it, and its time is the measure of lag. The leader
// does so, the others ask it.
func (n *Node) nudge(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.NoteInterval)
	defer tick.Stop()
	for {
		// The first note comes at once: until then the lag is unknown, and a commit
		// not possible.
		s, changed := n.coord.Watch()
		if !s.Active() {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-changed:
			}
			continue
		}
		if n.Leads() {
			n.note(ctx, s)
		} else {
			n.setClock(ctx)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// note writes one note and takes the source's time from it.
func (n *Node) note(ctx context.Context, s *state.Sync) {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	now, err := mongoconn.Note(ctx, n.ends.from(&s.Leg).client, "tick")
	if err != nil {
		// Lag turns to unknown by itself if this goes on.
		n.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "the source took no note", slog.Any("error", err))
		return
	}
	n.clock.set(s.Leg.Number, now)
}
