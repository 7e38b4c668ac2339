package mongos

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func enableSharding(ctx context.Context, o *op) (bson.Raw, error) {
	db := getString(o.req.Body, o.req.Name)
	if db == "" || internalDB(db) {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "cannot enable sharding on the database '%s'", db)
	}
	wanted := getString(o.req.Body, "primaryShard")
	if wanted != "" {
		s, err := o.r.catalog.shard(wanted)
		if err != nil {
			return nil, err
		}
		wanted = s.ID
	}
	p, err := o.r.catalog.ensureDatabase(ctx, db, wanted)
	if err == nil && wanted != "" && p != wanted {
		err = mongoerr.New(mongoerr.NamespaceExists, "database %s already has the primary shard %s", db, p)
	}
	return rawDoc(bson.D{}), err
}

// A sharding is a shardCollection under way.
type sharding struct {
	*op
	ns, db, coll string
	key          keyPattern
	unique       bool
	primary      string
	data         string // the shard that has the documents: the primary, unless they were moved
	uuid         value.UUID
	empty        bool
	collation    *collation.Collation // the collection's default
	series       *timeseries.Options  // of the time-series collection whose buckets are sharded
}

// shardCollection makes a collection sharded: a supporting index, chunks, the
// collection on the other shards that get some, and the event on the primary
// shard (server-facts 5.2).
func shardCollection(ctx context.Context, o *op) (bson.Raw, error) {
	s, err := o.newSharding()
	if err != nil {
		return nil, err
	}
	if s.primary, err = o.r.catalog.ensureDatabase(ctx, s.db, ""); err != nil {
		return nil, err
	}
	if err := s.onSeries(ctx); err != nil {
		return nil, err
	}
	unlock, err := o.exclusive(ctx, s.ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s.primary = o.primaryNow(s.db, s.primary)
	s.data = s.primary
	if t := o.r.catalog.table(s.ns); t != nil && t.unsplittable {
		s.data = t.chunks[0].shard
	} else if t != nil {
		if value.CompareDocs(t.key.raw, s.key.raw) == 0 && t.unique == s.unique {
			return rawDoc(bson.D{{"collectionsharded", s.ns}}), nil
		}
		return nil, mongoerr.New(mongoerr.AlreadyInitialized, "sharding already enabled for collection %s", s.ns)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if (!s.empty || s.key.hashedField() < 0) && has(o.req.Body, "numInitialChunks") {
		what := "empty"
		if s.key.hashedField() < 0 {
			what = "hashed"
		}
		return nil, mongoerr.New(mongoerr.InvalidOptions, "numInitialChunks is not supported when the collection is not %s", what)
	}
	t, err := s.layout()
	if err != nil {
		return nil, err
	}
	if err := s.publish(ctx, t); err != nil {
		return nil, err
	}
	return rawDoc(bson.D{{"collectionsharded", s.ns}}), nil
}

func (o *op) newSharding() (*sharding, error) {
	db, coll, err := fullName(o.req)
	if err != nil {
		return nil, err
	}
	if internalDB(db) || strings.HasPrefix(coll, "system.") {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "can't shard %s.%s", db, coll)
	}
	body := o.req.Body
	key, err := parseKeyPattern(getDoc(body, "key"))
	if err != nil {
		return nil, err
	}
	s := &sharding{op: o, ns: db + "." + coll, db: db, coll: coll, key: key, unique: getBool(body, "unique", false)}
	if s.unique && key.hashedField() >= 0 {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "Hashed shard keys cannot be declared unique. It's possible to ensure uniqueness on the hashed field by declaring an additional (non-hashed) unique index on the field.")
	}
	return s, nil
}

// prepare makes sure that the primary shard has the collection and an index
// that supports the key.
func (s *sharding) prepare(ctx context.Context) error {
	infos, err := s.collections(ctx, s.data, s.ns)
	if err != nil {
		return err
	}
	if len(infos) > 0 && getString(infos[0], "type") == "view" {
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a view", s.ns)
	}
	if len(infos) > 0 && getBool(getDoc(infos[0], "options"), "capped", false) {
		return mongoerr.New(mongoerr.InvalidOptions, "can't shard a capped collection")
	}
	var options bson.Raw
	if len(infos) > 0 {
		options = getDoc(infos[0], "options")
	}
	if err := s.checkCollation(options); err != nil {
		return err
	}
	if len(infos) == 0 {
		if _, err := s.send(ctx, s.primary, call{name: "create", db: s.db, body: rawDoc(bson.D{{"create", s.coll}})}); err != nil {
			return err
		}
		if infos, err = s.collections(ctx, s.data, s.ns); err != nil {
			return err
		}
	}
	if len(infos) == 0 {
		return mongoerr.New(mongoerr.NamespaceNotFound, "%s disappeared while it was sharded", s.ns)
	}
	v, _ := value.Get(getDoc(infos[0], "info"), "uuid")
	s.uuid, _ = value.ParseUUID(v)
	doc, _, err := s.findOne(ctx, route{ns: s.ns}, []string{s.data}, nil, nil, nil)
	if err != nil {
		return err
	}
	s.empty = doc == nil
	return s.supportingIndex(ctx)
}

// findOne of the op runs in the database of its command, which here is admin.
func (s *sharding) findOne(ctx context.Context, rt route, shards []string, q, sort bson.Raw, by *collation.Collation) (bson.Raw, string, error) {
	in := &op{r: s.r, req: &command.Request{Name: s.req.Name, DB: s.db, Body: s.req.Body, Client: s.req.Client}}
	return in.findOne(ctx, rt, shards, q, sort, by)
}

func (s *sharding) supportingIndex(ctx context.Context) error {
	specs, err := s.indexes(ctx, s.data, s.ns)
	if err != nil {
		return err
	}
	found := false
	for _, spec := range specs {
		key := getDoc(spec, "key")
		found = found || usable(spec, s.key)
		if err := (&table{key: s.key}).checkIndexes([]bson.Raw{spec}); err != nil {
			return mongoerr.New(mongoerr.InvalidOptions, "can't shard collection '%s' with unique index on %s and proposed shard key %s. Uniqueness can't be maintained unless shard key is a prefix", s.ns, key, s.key.raw)
		}
	}
	switch {
	case found && !s.unique:
		return nil
	case !found && !s.empty:
		return mongoerr.New(mongoerr.InvalidOptions, "Please create an index that starts with the proposed shard key before sharding the collection")
	}
	spec := bson.D{{"key", s.key.raw}, {"name", indexName(s.key.raw)}}
	if s.unique {
		spec = append(spec, bson.E{Key: "unique", Value: true})
	}
	if s.collation != nil {
		spec = append(spec, collationArg(nil))
	}
	_, err = s.send(ctx, s.data, call{name: "createIndexes", db: s.db, body: rawDoc(bson.D{{"createIndexes", s.coll}, {"indexes", bson.A{spec}}})})
	return err
}

// indexes returns the index specifications a shard has for ns.
func (o *op) indexes(ctx context.Context, shard, ns string) ([]bson.Raw, error) {
	db, coll, _ := splitNS(ns)
	resp, err := o.send(ctx, shard, call{name: "listIndexes", db: db, safe: true, body: rawDoc(bson.D{{"listIndexes", coll}})})
	if err != nil {
		return nil, err
	}
	return explicit(getDocs(getDoc(resp.Body, "cursor"), "firstBatch")), nil
}

// usable reports whether a shard key can be looked up in an index: it starts with
// the key, has all documents, and compares strings by their bytes.
func usable(spec bson.Raw, key keyPattern) bool {
	own, err := defaultCollation(spec)
	return err == nil && own == nil && supports(getDoc(spec, "key"), key) && !getBool(spec, "sparse", false) && !has(spec, "partialFilterExpression")
}

// supports reports whether an index starts with the shard key.
func supports(index bson.Raw, key keyPattern) bool {
	elems, err := index.Elements()
	if err != nil || len(elems) < len(key.fields) {
		return false
	}
	for i, f := range key.fields {
		s, _ := elems[i].Value().StringValueOK()
		if elems[i].Key() != f.path || (s == "hashed") != f.hashed || s != "" && s != "hashed" {
			return false
		}
	}
	return true
}

// indexName is the name the server gives an index.
func indexName(key bson.Raw) string {
	var parts []string
	for name, v := range value.Elements(key) {
		if s, ok := v.StringValueOK(); ok {
			parts = append(parts, name+"_"+s)
		} else {
			parts = append(parts, name+"_1")
		}
	}
	return strings.Join(parts, "_")
}

// publish makes the shards know their part, then the routers.
func (s *sharding) publish(ctx context.Context, t *table) error {
	for _, shard := range t.shards() {
		if shard != s.data {
			if err := s.provide(ctx, t, s.data, shard); err != nil {
				return err
			}
		}
	}
	s.changelog(ctx, "shardCollection.start", s.ns, bson.D{{"shardKey", s.key.raw}, {"primary", s.primary}, {"numChunks", int32(len(t.chunks))}})
	body := edit(set(s.req.Body, bson.E{Key: s.req.Name, Value: s.ns}), append([]string{"writeConcern", "timeseries"}, s.dropped()...))
	_, err := s.send(ctx, s.primary, call{name: "shardCollection", db: "admin", body: body, routed: &command.Routed{ShardKey: s.key.raw, UUID: s.uuid}})
	if err != nil {
		return err
	}
	for _, shard := range t.shards() {
		if err := s.noteSharding(ctx, shard, t, s.key.raw, nil, nil); err != nil {
			return err
		}
	}
	if err := s.r.catalog.store(ctx, t); err != nil {
		return err
	}
	s.changelog(ctx, "shardCollection.end", s.ns, bson.D{{"version", t.version()}})
	return nil
}

// provide makes the collection on a shard that has none yet: same UUID, same
// options, same indexes, logged as copies.
func (o *op) provide(ctx context.Context, t *table, from, to string) error {
	db, coll, _ := splitNS(t.ns)
	have, err := o.collections(ctx, to, t.ns)
	if err != nil {
		return err
	}
	infos, err := o.collections(ctx, from, t.ns)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		cmd := bson.D{{"create", coll}}
		if len(infos) > 0 {
			cmd = append(cmd, elementsOf(getDoc(infos[0], "options"))...)
		}
		_, err = o.send(ctx, to, call{name: "create", db: db, body: rawDoc(cmd), routed: &command.Routed{FromMigrate: true, UUID: t.uuid, ShardKey: t.key.raw}})
		if err != nil {
			return err
		}
	}
	specs, err := o.indexes(ctx, from, t.ns)
	if err != nil {
		return err
	}
	return o.buildIndexes(ctx, to, t.ns, specs)
}
