package mongos

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A reshaping copies a whole collection into a new one, which has another UUID,
// shard key and place, and takes its name: what reshardCollection,
// moveCollection and unshardCollection do. The caller has the collection to
// itself. Streams show a single event, from the primary shard.
type reshaping struct {
	*op                // the cluster's own
	old       *table   // nil if the catalog does not know the collection
	ns, temp  string   // temp is filled, then renamed
	primary   string   // of the database: it always gets a part, be it an empty one
	donors    []string // the shards that have documents
	uuid      value.UUID
	command   bson.Raw // the client's
	why       string   // the command that is behind it
	info      bson.Raw // of listCollections
	client    *op
	recipient []string
}

func (o *op) newReshaping(ns string, t *table, why string) (*reshaping, error) {
	db, _, _ := splitNS(ns)
	primary, ok := o.r.primaryOf(db)
	if !ok {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", ns)
	}
	r := &reshaping{op: o.r.own(), client: o, ns: ns, old: t, primary: primary, donors: []string{primary}, command: o.req.Body, why: why}
	if t != nil {
		r.donors = t.shards()
	}
	return r, nil
}

// routed keeps orphans out of what a donor gives.
func (r *reshaping) routed(shard string) *command.Routed {
	if r.old == nil {
		return nil
	}
	return &command.Routed{Owned: r.old.owned(shard)}
}

// gather makes the collection an unsharded one on a shard.
func (r *reshaping) gather(ctx context.Context, to string) error {
	key, now := unsplittableKey(), r.r.tick()
	next := &table{ns: r.ns, uuid: value.NewUUID(), key: key, epoch: bson.NewObjectID(), timestamp: now, lastmod: time.Now(), unsplittable: true}
	c, err := newChunk(key, key.all(value.MinKey()), key.all(value.MaxKey()), to, bson.Timestamp{T: 1}, now)
	if err != nil {
		return err
	}
	next.chunks = []chunk{c}
	return r.run(ctx, next)
}

// run copies the collection to where next says, and makes that its routing. Until
// the copy is there it may be aborted.
func (r *reshaping) run(ctx context.Context, next *table) error {
	defer r.r.catalog.moves.freeze(r.ns)()
	rs := r.r.catalog.moves.reshapings
	cancellable, u := rs.begin(ctx, r.ns, r.why)
	err := r.copy(cancellable, next)
	if err == nil {
		err = rs.decide(cancellable, u)
	}
	if err != nil {
		if cause := context.Cause(cancellable); isServerError(cause) {
			err = cause
		}
		r.discard(context.WithoutCancel(ctx))
		rs.end(r.ns, u, err)
		return err
	}
	err = r.commit(ctx, next)
	r.client.keep(r.time)
	rs.end(r.ns, u, err)
	return err
}

func (r *reshaping) copy(ctx context.Context, next *table) error {
	infos, err := r.collections(ctx, r.primary, r.ns)
	if err != nil {
		return err
	}
	if len(infos) == 0 {
		return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", r.ns)
	}
	if getString(infos[0], "type") == "view" {
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a view", r.ns)
	}
	if has(getDoc(infos[0], "options"), "timeseries") {
		return mongoerr.New(mongoerr.CommandNotSupported, "%s of the time-series collection %s is not supported by the simulated cluster", r.req.Name, r.ns)
	}
	v, _ := value.Get(getDoc(infos[0], "info"), "uuid")
	r.uuid, _ = value.ParseUUID(v)
	r.info = infos[0]
	if next.collation, err = defaultCollation(getDoc(r.info, "options")); err != nil {
		return err
	}
	db, _, _ := splitNS(r.ns)
	r.temp = db + "." + reshardingPrefix + r.uuid.String()
	r.recipient = next.shards()
	if !slices.Contains(r.recipient, r.primary) {
		r.recipient = append(r.recipient, r.primary)
	}
	specs, err := r.specs(ctx, next)
	if err != nil {
		return err
	}
	for _, shard := range r.recipient {
		if err := r.create(ctx, shard, next, specs); err != nil {
			return err
		}
	}
	c := &copier{op: r.op, ns: r.ns, into: r.temp, uuid: next.uuid, shown: true, routed: r.routed}
	for _, shard := range r.donors {
		if _, _, err := r.durable(ctx, shard); err != nil {
			return err
		}
		if err := c.all(ctx, shard, next.shardOf); err != nil {
			return err
		}
		for _, to := range r.recipient {
			if to == shard {
				continue
			}
			if err := r.handSessions(ctx, shard, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// specs returns the indexes the new collection gets: those of the old one, and
// one that supports the shard key.
func (r *reshaping) specs(ctx context.Context, next *table) ([]bson.Raw, error) {
	specs, err := r.indexes(ctx, r.donors[0], r.ns)
	if err != nil || next.unsplittable {
		return specs, err
	}
	found := false
	for _, s := range specs {
		key := getDoc(s, "key")
		found = found || usable(s, next.key)
		if err := next.checkIndexes([]bson.Raw{s}); err != nil {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "can't shard collection '%s' with unique index on %s and proposed shard key %s. Uniqueness can't be maintained unless shard key is a prefix", r.ns, key, next.key.raw)
		}
	}
	if !found {
		specs = append(specs, rawDoc(bson.D{{"v", int32(2)}, {"key", next.key.raw}, {"name", indexName(next.key.raw)}, collationArg(nil)}))
	}
	return specs, nil
}

// create makes the temporary collection on a shard. Only streams of system
// events show it, for its name.
func (r *reshaping) create(ctx context.Context, shard string, next *table, specs []bson.Raw) error {
	db, coll, _ := splitNS(r.temp)
	routed := &command.Routed{UUID: next.uuid}
	if !next.unsplittable {
		routed.ShardKey = next.key.raw
	}
	cmd := append(bson.D{{"create", coll}}, elementsOf(getDoc(r.info, "options"))...)
	if _, err := r.send(ctx, shard, call{name: "create", db: db, body: rawDoc(cmd), routed: routed}); err != nil {
		return err
	}
	return r.buildIndexes(ctx, shard, r.temp, specs)
}

// commit is what cannot fail any more: it is tried until it is done.
func (r *reshaping) commit(ctx context.Context, next *table) error {
	event := bson.D{{"reshardCollection", r.ns}, {"reshardUUID", next.uuid.Binary()}, {"shardKey", next.key.raw}, {"oldShardKey", r.oldKey()}, {"unique", false}}
	if n := getInt(r.command, "numInitialChunks", 0); n > 0 {
		event = append(event, bson.E{Key: "numInitialChunks", Value: n})
	}
	if v, ok := value.Get(r.command, "zones"); ok {
		event = append(event, bson.E{Key: "zones", Value: v})
	}
	if r.r.cfg.Version.AtLeast(8, 0) {
		event = append(event, bson.E{Key: "provenance", Value: r.why})
	}
	old := &table{ns: r.ns, uuid: r.uuid}
	err := r.insist(ctx, func() error {
		return r.noteSharding(ctx, r.primary, old, nil, bson.D{{"reshardCollection", r.ns}}, event)
	})
	db, coll, _ := splitNS(r.ns)
	rename := copies(call{name: "renameCollection", db: "admin", safe: true, body: rawDoc(bson.D{{"renameCollection", r.temp}, {"to", r.ns}, {"dropTarget", true}})})
	drop := copies(call{name: "drop", db: db, safe: true, body: rawDoc(bson.D{{"drop", coll}})})
	for _, shard := range r.r.catalog.shardIDs() {
		c := drop
		if slices.Contains(r.recipient, shard) {
			c = rename
		}
		err = firstOf(err, r.insist(ctx, func() error {
			_, err := r.send(ctx, shard, c)
			return absent(err) // done the first time, though the reply was lost
		}))
	}
	if err == nil {
		next.begin(r.r.tick())
		err = r.insist(ctx, func() error { return r.r.catalog.store(ctx, next) })
	}
	if err == nil {
		r.changelog(ctx, r.why, r.ns, bson.D{{"shardKey", next.key.raw}, {"oldShardKey", r.oldKey()}, {"newUUID", next.uuid.Binary()}})
	}
	return err
}

// begin says that the collection is there from a time on. Until it had its name
// everywhere no transaction could see it, so that time must not be earlier.
func (t *table) begin(now bson.Timestamp) {
	t.timestamp = now
	for i := range t.chunks {
		t.chunks[i].history = []placement{{now, t.chunks[i].shard}}
	}
}

// oldKey is the shard key the collection had; one that is not sharded counts as
// sharded by _id.
func (r *reshaping) oldKey() bson.Raw {
	if r.old == nil {
		return unsplittableKey().raw
	}
	return r.old.key.raw
}

// insist repeats f while a shard cannot be reached.
func (o *op) insist(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !retriable(err) {
			return err
		}
		select {
		case <-time.After(longPause):
		case <-ctx.Done():
			return err
		}
	}
}

// discard drops what a failed reshaping has made.
func (r *reshaping) discard(ctx context.Context) {
	db, coll, _ := splitNS(r.temp)
	for _, shard := range r.recipient {
		_, err := r.send(ctx, shard, copies(call{name: "drop", db: db, safe: true, body: rawDoc(bson.D{{"drop", coll}})}))
		if absent(err) != nil {
			r.r.cfg.Logger.WarnContext(ctx, "temporary collection left behind", "shard", shard, "ns", r.temp, "error", err)
		}
	}
}
