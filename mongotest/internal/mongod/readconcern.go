package mongod

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// readConcern is a command's readConcern argument.
type readConcern struct {
	level     string // "" means local
	after     bson.Timestamp
	at        bson.Timestamp
	byDefault bool // the level comes from setDefaultRWConcern
}

// named is the level that the client itself asks for: what can only be read at
// some levels takes no notice of a default.
func (c readConcern) named() string {
	if c.byDefault {
		return ""
	}
	return c.level
}

func (a *args) readConcern() readConcern {
	d := a.doc("readConcern")
	if d == nil {
		return readConcern{}
	}
	sub := &args{name: "readConcern", body: d}
	c := readConcern{level: sub.string("level"), after: sub.timestamp("afterClusterTime"), at: sub.timestamp("atClusterTime")}
	switch c.level {
	case "", "local", "available", "majority", "linearizable", "snapshot":
	default:
		sub.fail(mongoerr.BadValue, "Enumeration value '%s' for field 'readConcern.level' is not a valid value.", c.level)
	}
	if !c.at.IsZero() && c.level != "snapshot" {
		sub.fail(mongoerr.InvalidOptions, "readConcern atClusterTime is only allowed with level 'snapshot'")
	}
	if !c.at.IsZero() && !c.after.IsZero() {
		sub.fail(mongoerr.InvalidOptions, "Specifying a timestamp for readConcern snapshot in a causally consistent session is not allowed")
	}
	if a.err == nil {
		a.err = sub.err
	}
	return c
}

// awaitReadConcern waits until the node can answer with what op's read concern
// asks for, and takes the snapshot of level snapshot outside of transactions.
func (op *operation) awaitReadConcern(ctx context.Context) error {
	committed := op.concern.level == "majority" || op.concern.level == "snapshot"
	if op.concern.level == "linearizable" && !op.node.topo.isPrimary() {
		return mongoerr.New(mongoerr.NotWritablePrimary, "cannot satisfy linearizable read concern on non-primary node")
	}
	for _, want := range []struct {
		name string
		ts   bson.Timestamp
	}{{"afterClusterTime", op.concern.after}, {"atClusterTime", op.concern.at}} {
		ts := want.ts
		if ts.IsZero() {
			continue
		}
		if now := op.node.cfg.Clock.Now(); now.Before(ts) {
			return mongoerr.New(mongoerr.InvalidOptions, "readConcern %s value must not be greater than the current clusterTime. "+
				"Requested clusterTime: { ts: %s }; current clusterTime: { ts: %s }", want.name, timestampText(ts), timestampText(now))
		}
		if err := op.awaitTime(ctx, ts, committed); err != nil {
			return err
		}
	}
	defer op.chooseData()
	if op.concern.level != "snapshot" || op.inTxn {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return op.takeSnapshot()
}

// preparedReads says whether op's reads wait for prepared transactions. Plain
// reads do not, as on the server (canIgnorePrepareConflicts in
// read_concern_mongod.cpp).
func (op *operation) preparedReads() preparedReads {
	exact := !op.concern.after.IsZero() || !op.concern.at.IsZero() || op.concern.level == "snapshot" || op.concern.level == "linearizable"
	if op.txn != nil || exact {
		return awaitPrepared
	}
	return passPrepared
}

// awaitTime waits until the node has all up to ts, and, with committed set, a
// majority too.
func (op *operation) awaitTime(ctx context.Context, ts bson.Timestamp, committed bool) error {
	op.node.reach(ts)
	return op.node.awaitApplied(ctx, ts, committed)
}

// reach brings the log to ts: an idle primary that is behind writes a no-op,
// as one that is asked to wait for a time of another shard does.
func (n *Node) reach(ts bson.Timestamp) {
	log := n.line().log
	if !log.Last().Before(ts) || n.topo.state().leader == "" {
		return
	}
	n.cfg.Clock.Advance(bson.Timestamp{T: ts.T, I: ts.I - min(ts.I, 1)})
	log.Noop(value.D("msg", "waiting for a cluster time"))
}

// timestampText is a timestamp as the server's messages show it.
func timestampText(ts bson.Timestamp) string { return fmt.Sprintf("Timestamp(%d, %d)", ts.T, ts.I) }
