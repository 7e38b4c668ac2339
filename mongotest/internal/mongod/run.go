package mongod

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// sweepInterval is how often idle cursors, sessions and transactions are
// looked for.
const sweepInterval = time.Second

// ttlBatch bounds the documents that one TTL pass deletes under one lock.
const ttlBatch = 1000

// Run does the background work of the node until ctx ends: the no-op writer,
// the TTL monitor, the expiry of idle cursors, sessions and transactions,
// elections, and the commits that nobody works on. Call it once.
func (n *Node) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, f := range []func(context.Context){n.writeNoops, n.expireDocuments, n.sweep, n.watch, n.coordinate} {
		wg.Go(func() { f(ctx) })
	}
	wg.Wait()
}

// every calls f after each interval, which is asked for anew when a parameter
// changes.
func (n *Node) every(ctx context.Context, interval func() time.Duration, f func()) {
	current := interval()
	ticker := time.NewTicker(current)
	defer ticker.Stop()
	for {
		changed := n.params.changes.next()
		if d := interval(); d != current {
			current = d
			ticker.Reset(d)
		}
		select {
		case <-ticker.C:
			f()
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// writeNoops writes a no-op entry whenever the log has not moved for a whole
// interval (server-facts 2.2).
func (n *Node) writeNoops(ctx context.Context) {
	var before bson.Timestamp
	n.every(ctx, func() time.Duration { return max(n.params.seconds(paramNoopSecs), time.Second) }, func() {
		log := n.line().log
		last := log.Last()
		if last.Equal(before) && n.params.enabled(paramWriteNoops) && n.topo.isPrimary() {
			last = log.Noop(value.D("msg", "periodic noop"))
		}
		before = last
	})
}

// expireDocuments is the TTL monitor. The user write block suspends it.
func (n *Node) expireDocuments(ctx context.Context) {
	n.every(ctx, func() time.Duration { return max(n.params.seconds(paramTTLSecs), time.Second) }, func() {
		if !n.params.enabled(paramTTL) || !n.topo.isPrimary() {
			return
		}
		for {
			deleted, err := n.expireSome()
			if err != nil {
				n.cfg.Logger.WarnContext(ctx, "ttl pass failed", "error", err)
			}
			if err != nil || deleted < ttlBatch {
				return
			}
		}
	})
}

func (n *Node) expireSome() (deleted int, err error) {
	l := n.line()
	if err := l.block.enter(false); err != nil {
		return 0, nil
	}
	defer l.block.leave(false)
	err = l.engine.Update(func(tx *storage.Tx) error {
		deleted, err = tx.DeleteExpired(n.now(), ttlBatch, n.owns())
		return err
	})
	return deleted, err
}

// sweep ends what nobody has used for too long.
func (n *Node) sweep(ctx context.Context) {
	n.every(ctx, func() time.Duration { return sweepInterval }, func() {
		now := time.Now()
		idle := time.Duration(n.params.number(paramCursorMillis)) * time.Millisecond
		n.cursors.killWhere(func(c *cursor) bool { return c.idleBefore(now.Add(-idle)) })
		if !n.topo.isPrimary() {
			return // what is the set's is the primary's to look after
		}
		if n.peers() != nil {
			n.coordinators.resume()
		}
		l := n.line()
		l.snapshots.expire(n, l)
		for _, s := range l.sessions.list() {
			if err := n.sweepSession(l, s, now); err != nil {
				n.cfg.Logger.WarnContext(ctx, "idle session not forgotten", "error", err)
			}
		}
		if err := l.forgetPast(now); err != nil {
			n.cfg.Logger.WarnContext(ctx, "idle sessions not forgotten", "error", err)
		}
	})
}

// sweepSession aborts a transaction that has lived too long and removes an
// idle session. A session in use is left for the next time.
func (n *Node) sweepSession(l *line, s *session, now time.Time) error {
	if !s.tryCheckOut() {
		return nil
	}
	defer s.checkIn()
	if t := s.txn; t != nil && t.state == txnOpen && now.Sub(t.started) >= n.params.seconds(paramTxnSecs) {
		s.interrupt(n)
	}
	if now.Sub(s.idleSince()) >= sessionTimeoutMins*time.Minute && s.interrupt(n) {
		n.cursors.killWhere(func(c *cursor) bool { return c.session == s.key })
		return l.forget(s)
	}
	return nil
}
