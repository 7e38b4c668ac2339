package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A primaryMove gives a database another primary shard.
type primaryMove struct {
	*op
	db, from, to string
	copied       []string // collections and views that the old shard has no more use for
}

// movePrimary moves what is not sharded in a database to another shard. All of
// it is logged with fromMigrate: streams show nothing, and the events of later
// changes come from the new shard.
func movePrimary(ctx context.Context, o *op) (bson.Raw, error) {
	p := &primaryMove{op: o.r.own(), db: getString(o.req.Body, o.req.Name)}
	switch {
	case internalDB(p.db):
		return nil, mongoerr.New(mongoerr.InvalidOptions, "Can't move primary for %s database", p.db)
	case getString(o.req.Body, "to") == "":
		return nil, mongoerr.New(mongoerr.InvalidOptions, "you have to specify where you want to move it")
	}
	s, err := o.r.catalog.shard(getString(o.req.Body, "to"))
	if err != nil {
		return nil, err
	}
	unlock, err := o.r.catalog.locks.database(ctx, p.db)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var ok bool
	if p.from, ok = o.r.catalog.primary(p.db); !ok {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Database %s not found", p.db)
	}
	if p.to = s.ID; p.to == p.from {
		return rawDoc(bson.D{}), nil
	}
	defer o.r.catalog.moves.freeze(p.db)()
	p.changelog(ctx, "movePrimary.start", p.db, bson.D{{"from", p.from}, {"to", p.to}})
	err = p.run(ctx)
	o.keep(p.time)
	if err != nil {
		p.changelog(ctx, "movePrimary.error", p.db, bson.D{{"from", p.from}, {"to", p.to}, {"errmsg", err.Error()}})
		p.discard(context.WithoutCancel(ctx), p.to)
		return nil, err
	}
	p.changelog(ctx, "movePrimary.end", p.db, bson.D{{"from", p.from}, {"to", p.to}})
	p.discard(ctx, p.from)
	return rawDoc(bson.D{}), nil
}

func (p *primaryMove) run(ctx context.Context) error {
	if _, _, err := p.durable(ctx, p.from); err != nil {
		return err
	}
	infos, err := p.everything(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := p.take(ctx, info); err != nil {
			return err
		}
	}
	if err := p.handSessions(ctx, p.from, p.to); err != nil {
		return err
	}
	return p.r.catalog.setPrimary(ctx, p.db, p.to)
}

// everything returns what listCollections says of the old primary shard.
func (p *primaryMove) everything(ctx context.Context) ([]bson.Raw, error) {
	r, err := p.open(ctx, p.from, call{name: "listCollections", db: p.db, safe: true, body: rawDoc(bson.D{{"listCollections", int32(1)}})})
	if err != nil {
		return nil, err
	}
	infos, err := r.rest(ctx, p.op)
	// A time-series collection must find its buckets there.
	slices.SortStableFunc(infos, func(a, b bson.Raw) int { return rank(a) - rank(b) })
	return infos, err
}

func rank(info bson.Raw) int {
	if getString(info, "type") == "timeseries" {
		return 1
	}
	return 0
}

// take brings one collection or view to the new primary shard. Of a sharded
// collection that is only its existence: the documents stay where they are.
func (p *primaryMove) take(ctx context.Context, info bson.Raw) error {
	coll := getString(info, "name")
	ns := p.db + "." + coll
	if coll == "system.views" {
		return nil // follows from the views
	}
	if t := p.r.catalog.table(ns); t != nil {
		return p.provide(ctx, t, t.chunks[0].shard, p.to)
	}
	have, err := p.collections(ctx, p.to, ns)
	if err == nil && len(have) > 0 {
		err = mongoerr.New(mongoerr.NamespaceExists, "namespace %s already exists on shard %s", ns, p.to)
	}
	if err != nil {
		return err
	}
	p.copied = append(p.copied, coll)
	create := append(bson.D{{"create", coll}}, elementsOf(getDoc(info, "options"))...)
	if _, err := p.send(ctx, p.to, copies(call{name: "create", db: p.db, body: rawDoc(create)})); err != nil {
		return err
	}
	if kind := getString(info, "type"); kind == "view" || kind == "timeseries" {
		return nil
	}
	specs, err := p.indexes(ctx, p.from, ns)
	if err == nil {
		err = p.buildIndexes(ctx, p.to, ns, specs)
	}
	if err != nil {
		return err
	}
	c := &copier{op: p.op, ns: ns}
	return c.all(ctx, p.from, func(bson.Raw) (string, error) { return p.to, nil })
}

// discard drops the copies that are of no use on a shard any more. What cannot
// be dropped stays behind, as it may on a server.
func (p *primaryMove) discard(ctx context.Context, shard string) {
	for _, coll := range p.copied {
		_, err := p.send(ctx, shard, copies(call{name: "drop", db: p.db, safe: true, body: rawDoc(bson.D{{"drop", coll}})}))
		if absent(err) != nil {
			p.r.cfg.Logger.WarnContext(ctx, "copy left behind by movePrimary", "shard", shard, "ns", p.db+"."+coll, "error", err)
		}
	}
}

// setPrimary makes a shard the primary of a database.
func (c *Catalog) setPrimary(ctx context.Context, db, shard string) error {
	c.mu.RLock()
	d := *c.databases[db]
	c.mu.RUnlock()
	d.primary, d.timestamp = shard, c.cfg.Clock.Tick(1)
	d.moves++
	w := c.writes()
	w.put("databases", bson.E{Key: "_id", Value: db}, d.document())
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.databases[db] = &d
	return nil
}

// document is the database's row.
func (d database) document() bson.D {
	return bson.D{
		{"_id", d.name},
		{"primary", d.primary},
		{"version", bson.D{{"uuid", d.uuid.Binary()}, {"timestamp", d.timestamp}, {"lastMod", 1 + d.moves}}},
	}
}

// handSessions lets a shard know the retryable writes of another, so that a
// retry that now comes to it finds its outcome.
func (o *op) handSessions(ctx context.Context, from, to string) error {
	resp, err := o.send(ctx, from, call{name: "_getNextSessionMods", db: "admin", safe: true, body: rawDoc(bson.D{{"_getNextSessionMods", int32(1)}})})
	if err != nil {
		return err
	}
	sessions, _ := value.Get(resp.Body, "sessions")
	resp, err = o.send(ctx, to, call{name: "_recvSessionMods", db: "admin", safe: true, body: rawDoc(bson.D{{"_recvSessionMods", int32(1)}, {"sessions", sessions}})})
	if err != nil {
		return err
	}
	return replicated(resp)
}
