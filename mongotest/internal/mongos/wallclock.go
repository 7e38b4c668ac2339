package mongos

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// now is the time by the process's own clock.
func (r *Router) now() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) }

// SetSkew sets the process's clock ahead by so much, or back.
func (r *Router) SetSkew(d time.Duration) { r.skew.Store(int64(d)) }

// gossip advances the router's clock to the client's cluster time.
func (r *Router) gossip(body bson.Raw) error {
	v, _ := value.Get(getDoc(body, "$clusterTime"), "clusterTime")
	t, i, ok := v.TimestampOK()
	if !ok {
		return nil
	}
	return r.advance(bson.Timestamp{T: t, I: i})
}

// advance moves the router's clock to a time it hears of.
func (r *Router) advance(ts bson.Timestamp) error {
	if err := oplog.CheckDrift(ts, r.now()); err != nil {
		return err
	}
	r.cfg.Clock.Advance(ts)
	return nil
}

// note keeps the times of a shard's reply. It fails if they are too far ahead.
func (o *op) note(resp *command.Response) error {
	if resp == nil {
		return nil
	}
	for _, ts := range []bson.Timestamp{resp.ClusterTime, resp.OperationTime} {
		if err := o.r.advance(ts); err != nil {
			return err
		}
	}
	o.keep(resp.OperationTime)
	return nil
}

// keep keeps the time of something done for op.
func (o *op) keep(ts bson.Timestamp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ts.Compare(o.time) > 0 {
		o.time = ts
	}
}
