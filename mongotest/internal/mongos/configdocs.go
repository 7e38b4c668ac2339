package mongos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// internalClient is the connection of the cluster's own commands.
func internalClient() *command.Client {
	return &command.Client{AppName: "mongos", User: "local.__system", BypassWriteBlock: true}
}

type senderKey struct{}

// asSender makes the router the one on whose way to the config server it depends
// whether a change of the catalog can be written.
func (r *Router) asSender(ctx context.Context) context.Context {
	return context.WithValue(ctx, senderKey{}, r.cfg.Transport)
}

// transport is the way to the config server of whoever changes the catalog.
func (c *Catalog) transport(ctx context.Context) Transport {
	if t, ok := ctx.Value(senderKey{}).(Transport); ok {
		return t
	}
	return c.cfg.Transport
}

// A configWrite is one write to a collection of the config database.
type configWrite struct {
	name string // insert, update or delete
	coll string
	doc  bson.D
}

// configWrites collects the documents one catalog change is made of.
type configWrites struct {
	catalog *Catalog
	ops     []configWrite
}

func (c *Catalog) writes() *configWrites { return &configWrites{catalog: c} }

// put replaces the document with this id, or inserts it.
func (w *configWrites) put(coll string, id bson.E, doc bson.D) {
	w.ops = append(w.ops, configWrite{"update", coll, bson.D{{"q", bson.D{id}}, {"u", doc}, {"upsert", true}, {"multi", false}}})
}

func (w *configWrites) insert(coll string, doc bson.D) {
	w.ops = append(w.ops, configWrite{"insert", coll, doc})
}

func (w *configWrites) remove(coll string, q bson.D, many bool) {
	limit := int32(1)
	if many {
		limit = 0
	}
	w.ops = append(w.ops, configWrite{"delete", coll, bson.D{{"q", q}, {"limit", limit}}})
}

var sequenceOf = map[string]string{"insert": "documents", "update": "updates", "delete": "deletes"}

// send writes everything in order, neighbours of one kind in one command, and
// several commands all together or not at all.
func (w *configWrites) send(ctx context.Context) error {
	var commands []bson.Raw
	var last *command.Request
	for i := 0; i < len(w.ops); {
		first := w.ops[i]
		var docs []bson.Raw
		for ; i < len(w.ops) && w.ops[i].name == first.name && w.ops[i].coll == first.coll; i++ {
			d, err := bson.Marshal(w.ops[i].doc)
			if err != nil {
				return fmt.Errorf("config.%s: %w", first.coll, err)
			}
			docs = append(docs, d)
		}
		last = &command.Request{
			Name: first.name, DB: "config", Client: internalClient(),
			Body:      rawDoc(bson.D{{first.name, first.coll}, {"ordered", true}}),
			Sequences: []command.Sequence{{ID: sequenceOf[first.name], Docs: docs}},
		}
		commands = append(commands, rawDoc(bson.D{{first.name, first.coll}, {"ordered", true}, {sequenceOf[first.name], docs}}))
	}
	if len(commands) == 0 {
		return nil
	}
	if len(w.ops) > 1 {
		last = &command.Request{
			Name: "_writeCatalog", DB: "admin", Client: internalClient(), Routed: &command.Routed{},
			Body: rawDoc(bson.D{{"_writeCatalog", int32(1)}}), Sequences: []command.Sequence{{ID: "commands", Docs: commands}},
		}
	}
	resp, err := w.catalog.transport(ctx)(ctx, ConfigShard, last)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if e := getDoc(resp.Body, "writeConcernError"); tellsOfState(e) {
		return mongoerr.New(mongoerr.Code(getInt(e, "code", 0)), "config: %s", getString(e, "errmsg"))
	}
	if errs, ok := resp.Body.Lookup("writeErrors").ArrayOK(); ok {
		return mongoerr.New(mongoerr.OperationFailed, "config: %s", bson.Raw(errs))
	}
	return nil
}

// log adds a document to config.changelog.
func (w *configWrites) log(what, ns string, details bson.D) {
	now := time.Now()
	w.insert("changelog", bson.D{
		{"_id", fmt.Sprintf("config-%s-%s", now.UTC().Format("2006-01-02T15:04:05.000-07:00"), bson.NewObjectID().Hex())},
		{"server", "config"},
		{"shard", ConfigShard},
		{"clientAddr", ""},
		{"time", bson.NewDateTimeFromTime(now)},
		{"what", what},
		{"ns", ns},
		{"details", details},
	})
}

// putCollection writes the row of a collection. What clients set in it
// themselves, such as noBalance, stays.
func (w *configWrites) putCollection(t *table) {
	d := collectionDoc(t)
	unset := bson.D{}
	for _, name := range []string{"unsplittable", "allowMigrations"} {
		if !slices.ContainsFunc(d, func(e bson.E) bool { return e.Key == name }) {
			unset = append(unset, bson.E{Key: name, Value: ""})
		}
	}
	u := bson.D{{"$set", d[1:]}, {"$setOnInsert", bson.D{{"noBalance", false}}}}
	if len(unset) > 0 {
		u = append(u, bson.E{Key: "$unset", Value: unset})
	}
	w.put("collections", d[0], u)
}

func collectionDoc(t *table) bson.D {
	d := bson.D{
		{"_id", t.ns},
		{"lastmodEpoch", t.epoch},
		{"lastmod", bson.NewDateTimeFromTime(t.lastmod)},
		{"timestamp", t.timestamp},
		{"uuid", t.uuid.Binary()},
		{"key", t.key.raw},
		{"unique", t.unique},
	}
	if t.collation != nil {
		d = append(d, bson.E{Key: "defaultCollation", Value: t.collation.Doc()})
	}
	if t.series != nil {
		d = append(d, bson.E{Key: "timeseriesFields", Value: t.series.Document()})
	}
	if t.unsplittable {
		d = append(d, bson.E{Key: "unsplittable", Value: true})
	}
	if t.noMigrations {
		d = append(d, bson.E{Key: "allowMigrations", Value: false})
	}
	return d
}

// chunkDoc is a row of config.chunks.
func (c *Catalog) chunkDoc(t *table, ch *chunk) bson.D {
	d := bson.D{
		{"_id", ch.id},
		{"uuid", t.uuid.Binary()},
		{"min", ch.min},
		{"max", ch.max},
		{"shard", ch.shard},
		{"lastmod", ch.version},
	}
	if c.cfg.Version.AtLeast(7, 0) {
		d = append(d, bson.E{Key: "onCurrentShardSince", Value: ch.history[0].ValidAfter})
	}
	d = append(d, bson.E{Key: "history", Value: ch.history})
	if ch.jumbo {
		d = append(d, bson.E{Key: "jumbo", Value: true})
	}
	return d
}

// rawDoc marshals a document of plain values. Such a document always can be,
// so a failure is a broken promise of this package.
func rawDoc(d bson.D) bson.Raw {
	if d == nil {
		d = bson.D{}
	}
	b, err := bson.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("mongos: marshal %v: %v", d, err))
	}
	return b
}
