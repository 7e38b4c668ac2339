package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// windowPause is how often the source's oplog is looked at.
const windowPause = 15 * time.Second

// A window remembers how much of the source's oplog lies before the resume point.
type window struct {
	mu    sync.Mutex
	leg   int
	left  time.Duration // from the oldest entry to the resume point
	whole time.Duration // from the oldest entry to the newest
	known bool
}

func (w *window) set(leg int, left, whole time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leg, w.left, w.whole, w.known = leg, left, whole, true
}

// read returns what is left, and whether that is short: less than a quarter of
// what the oplog holds, so that a while more of the same load ends it.
func (w *window) read(leg int) (left time.Duration, short, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left, w.left < w.whole/4, w.known && w.leg == leg
}

// A lookout is a coordinator.Reconciler that looks how soon the source's oplog
// lets go of what is not applied yet. Routers have no oplog to look at, so it sees
// replica sets only.
type lookout struct {
	*Node

	next time.Time
	said bool
}

// Name implements coordinator.Reconciler.
func (*lookout) Name() string { return "oplog window" }

// Reconcile implements coordinator.Reconciler. What it cannot see stops nothing.
func (l *lookout) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	at := s.Leg.ResumePoint()
	if at.IsZero() || time.Now().Before(l.next) {
		return nil, nil
	}
	l.next = time.Now().Add(windowPause)
	from := l.ends.from(&s.Leg)
	if from.info.Kind == topology.Sharded {
		return nil, nil
	}
	oldest, newest, err := mongoconn.OplogWindow(ctx, from.client)
	if err != nil {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "the oplog window is not known", slog.Any("error", err))
		return nil, nil
	}
	seconds := func(from, to uint32) time.Duration { return time.Duration(int64(to)-int64(from)) * time.Second }
	l.window.set(s.Leg.Number, seconds(oldest.T, at.T), seconds(oldest.T, newest.T))
	left, short, _ := l.window.read(s.Leg.Number)
	if short && !l.said {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the source's oplog is about to let go of changes that are not applied",
			slog.Duration("left", left), slog.String("advice", windowAdvice))
	}
	l.said = short
	return nil, nil
}

const windowAdvice = "make it larger (replSetResizeOplog), or let the sync go on"

func windowWarning(left time.Duration) string {
	return fmt.Sprintf("the source's oplog reaches back only %d s before the resume point: %s", int64(left/time.Second), windowAdvice)
}
