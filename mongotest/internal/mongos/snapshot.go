package mongos

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// latest is the latest cluster time there is, to the knowledge of the config
// server too.
func (r *Router) latest() bson.Timestamp {
	config := r.catalog.cfg.Clock
	config.Advance(r.cfg.Clock.Now())
	now := config.Now()
	r.cfg.Clock.Advance(now)
	return now
}

// tick is the time of a change of where documents are. It comes after whatever
// any router has called the latest time before, so that a transaction which
// began before the change is told, whichever router it runs on.
func (r *Router) tick() bson.Timestamp {
	config := r.catalog.cfg.Clock
	config.Advance(r.cfg.Clock.Now())
	now := config.Tick(1)
	r.cfg.Clock.Advance(now)
	return now
}

// pinSnapshot has all shards read the same time: the one that the client names,
// or one of the router's choice.
func (o *op) pinSnapshot() {
	switch {
	case o.txn != nil:
		if getBool(o.req.Body, "startTransaction", false) {
			o.txn.pin(o.r)
		}
		o.at = o.txn.at
	case o.req.Name == "find" || o.req.Name == "aggregate" || o.req.Name == "distinct":
		var pinned bson.Raw
		if o.at, pinned = o.r.pin(getDoc(o.req.Body, "readConcern")); pinned != nil {
			req := *o.req
			req.Body = set(req.Body, bson.E{Key: "readConcern", Value: pinned})
			o.req = &req
		}
	}
}

// pin returns the time of a read concern of level snapshot, and the read concern
// that names it if the client's does not. It is zero for others.
func (r *Router) pin(concern bson.Raw) (bson.Timestamp, bson.Raw) {
	if getString(concern, "level") != "snapshot" {
		return bson.Timestamp{}, nil
	}
	if at := getTime(concern, "atClusterTime"); !at.IsZero() {
		return at, nil
	}
	at := later(r.latest(), getTime(concern, "afterClusterTime"))
	return at, set(edit(concern, []string{"afterClusterTime"}), bson.E{Key: "atClusterTime", Value: at})
}

// pin chooses the time that the transaction reads, or that from which on nothing
// may have changed its place.
func (t *txn) pin(r *Router) {
	concern, _ := t.readConcern.DocumentOK()
	at, pinned := r.pin(concern)
	if pinned != nil {
		t.readConcern = value.Doc(pinned)
	}
	if t.at = at; at.IsZero() {
		t.since = r.latest()
	}
}
