package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runsOnShard reports whether a single shard can run the whole pipeline: no
// stage needs a collection, or a name for its output, that lives elsewhere,
// and nothing is to be said about each shard.
func (o *op) runsOnShard(ns string, stages []bson.Raw) bool {
	if perShard(stages) {
		return internalDB(o.req.DB)
	}
	db, _, _ := splitNS(ns)
	for _, f := range foreignNS(o.req.DB, stages) {
		fdb, _, _ := splitNS(f)
		if _, sharded := o.r.catalog.resolve(f); sharded || fdb != db || o.r.catalog.table(f) != nil || o.r.catalog.table(ns) != nil {
			return false
		}
	}
	return true
}

// foreignNS returns the namespaces that the stages read or write besides the
// pipeline's own.
func foreignNS(db string, stages []bson.Raw) []string {
	var out []string
	for _, stage := range stages {
		for name, v := range value.Elements(stage) {
			d, _ := v.DocumentOK()
			switch name {
			case "$lookup", "$graphLookup":
				out = append(out, nsOf(db, d, "from"))
				out = append(out, foreignNS(db, getDocs(d, "pipeline"))...)
			case "$unionWith":
				if s, ok := v.StringValueOK(); ok {
					out = append(out, db+"."+s)
				} else {
					out = append(out, nsOf(db, d, "coll"))
					out = append(out, foreignNS(db, getDocs(d, "pipeline"))...)
				}
			case "$out":
				if s, ok := v.StringValueOK(); ok {
					out = append(out, db+"."+s)
				} else {
					out = append(out, getString(d, "db")+"."+getString(d, "coll"))
				}
			case "$merge":
				if s, ok := v.StringValueOK(); ok {
					out = append(out, db+"."+s)
				} else {
					out = append(out, nsOf(db, d, "into"))
				}
			case "$facet":
				for _, sub := range value.Elements(d) {
					out = append(out, foreignNS(db, docsOf(sub))...)
				}
			}
		}
	}
	return out
}

// nsOf reads a field that is a collection's name or {db, coll}.
func nsOf(db string, d bson.Raw, field string) string {
	if sub := getDoc(d, field); sub != nil {
		if s := getString(sub, "db"); s != "" {
			db = s
		}
		return db + "." + getString(sub, "coll")
	}
	return db + "." + getString(d, field)
}

// A reader opens collections for stages that run on the router.
type reader struct{ bound *binding }

// Open implements aggregate.Reader.
func (r reader) Open(ctx context.Context, db, coll string) (aggregate.Source, error) {
	vars, err := r.bound.op.vars()
	if err != nil {
		return nil, err
	}
	by := collationArg(vars.Collation()) // of the pipeline that reads it, whatever the collection's own
	o := r.bound.op.child(db, bson.D{{"aggregate", coll}, {"pipeline", bson.A{}}, {"cursor", bson.D{}}, by})
	ns := db + "." + coll
	var stages []bson.Raw
	if v, ok := o.r.catalog.resolve(ns); ok {
		if err := o.onView(ns, v); err != nil {
			return nil, err
		}
		ns, stages = v.on, v.pipeline
	}
	f, use, err := o.openPipeline(ctx, ns, stages)
	if err != nil || f == nil {
		return &docsSource{}, err
	}
	s := &feedSource{o: o, feed: f, use: use, bound: r.bound}
	r.bound.keep(s)
	return s, nil
}

// A feedSource reads a feed to its end, or until what it is bound to ends.
type feedSource struct {
	o     *op
	feed  feed
	use   *rangeHold
	bound *binding // whose end ends it, too; may be nil
	docs  []bson.Raw
	done  bool
}

// Next implements aggregate.Source.
func (s *feedSource) Next(ctx context.Context) (bson.Raw, error) {
	for len(s.docs) == 0 {
		if s.done {
			return nil, nil
		}
		b, err := s.feed.batch(ctx, s.o, demand{size: -1, waitMS: -1})
		s.docs, s.done = b.docs, b.done
		if err != nil || s.done {
			s.close(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	d := s.docs[0]
	s.docs = s.docs[1:]
	return d, nil
}

func (s *feedSource) close(ctx context.Context) {
	if s.bound != nil {
		delete(s.bound.reads, s)
	}
	s.o.closeCursor(ctx, &cursor{feed: s.feed, use: s.use})
}

// A writer stores what $out and $merge make on the router.
type writer struct{ bound *binding }

const writerBatch = 1000

// Replace implements aggregate.Writer: the documents go to a temporary
// collection, which then takes the name.
func (w writer) Replace(ctx context.Context, db, coll string, series bson.Raw, docs []bson.Raw) error {
	o := w.bound.op
	if err := w.checkNoSeries(ctx, db, coll, series); err != nil {
		return err
	}
	if t := o.r.catalog.table(db + "." + coll); t != nil && !t.unsplittable {
		return mongoerr.New(mongoerr.NamespaceCannotBeSharded, "namespace '%s' is sharded so it can't be used for $out", db+"."+coll)
	}
	tmp := "tmp.agg_out." + bson.NewObjectID().Hex()
	options, err := o.optionsOf(ctx, db, coll)
	if err != nil {
		return err
	}
	if _, err := o.run(ctx, db, append(bson.D{{"create", tmp}}, options...)); err != nil {
		return err
	}
	if reply, err := o.run(ctx, db, bson.D{{"listIndexes", coll}}); err == nil {
		var specs []bson.Raw
		for _, s := range explicit(getDocs(getDoc(reply, "cursor"), "firstBatch")) {
			if getString(s, "name") != "_id_" && s.Lookup("clustered").Type == 0 { // those come with the collection
				specs = append(specs, s)
			}
		}
		if len(specs) > 0 {
			if _, err := o.run(ctx, db, bson.D{{"createIndexes", tmp}, {"indexes", arrayOf(specs)}}); err != nil {
				return err
			}
		}
	} else if !mongoerr.Is(err, mongoerr.NamespaceNotFound) {
		return err
	}
	for part := range slices.Chunk(docs, writerBatch) {
		if err := w.write(ctx, db, bson.D{{"insert", tmp}, {"documents", arrayOf(part)}}); err != nil {
			return err
		}
	}
	_, err = o.run(ctx, "admin", bson.D{{"renameCollection", db + "." + tmp}, {"to", db + "." + coll}, {"dropTarget", true}})
	return err
}

// optionsOf returns the options of a collection, none if it does not exist.
func (o *op) optionsOf(ctx context.Context, db, coll string) (bson.D, error) {
	reply, err := o.run(ctx, db, bson.D{{"listCollections", int32(1)}, {"filter", bson.D{{"name", coll}, {"type", "collection"}}}})
	if err != nil {
		return nil, err
	}
	for _, info := range getDocs(getDoc(reply, "cursor"), "firstBatch") {
		return elementsOf(getDoc(info, "options")), nil
	}
	return nil, nil
}

// checkNoSeries refuses time-series collections as targets: a router cannot
// rename one into place.
func (w writer) checkNoSeries(ctx context.Context, db, coll string, series bson.Raw) error {
	reply, err := w.bound.op.run(ctx, db, bson.D{{"listCollections", int32(1)}, {"filter", bson.D{{"name", coll}, {"type", "timeseries"}}}})
	if err != nil {
		return err
	}
	if series != nil || len(getDocs(getDoc(reply, "cursor"), "firstBatch")) > 0 {
		return mongoerr.New(mongoerr.CommandNotSupported, "$out of a sharded collection into the time-series collection %s.%s is not supported by the simulated cluster", db, coll)
	}
	return nil
}

// Merge implements aggregate.Writer.
func (w writer) Merge(ctx context.Context, db, coll string, on []string, doc bson.Raw, decide func(bson.Raw) (bson.Raw, error)) error {
	o := w.bound.op
	filter := bson.D{}
	for _, f := range on {
		v, ok := value.Lookup(doc, f)
		if !ok {
			v = value.Null()
		}
		filter = append(filter, bson.E{Key: f, Value: bson.D{{"$eq", v}}})
	}
	vars, err := o.vars()
	if err != nil {
		return err
	}
	by := collationArg(vars.Collation()) // of the pipeline, whatever the collection's own
	reply, err := o.run(ctx, db, bson.D{{"find", coll}, {"filter", filter}, {"limit", int64(1)}, {"singleBatch", true}, by})
	if err != nil {
		return err
	}
	var existing bson.Raw
	if found := getDocs(getDoc(reply, "cursor"), "firstBatch"); len(found) > 0 {
		existing = found[0]
	}
	result, err := decide(existing)
	if err != nil || result == nil {
		return err
	}
	if existing == nil {
		return w.write(ctx, db, bson.D{{"insert", coll}, {"documents", bson.A{result}}})
	}
	id, _ := value.Get(existing, "_id")
	filter = append(filter, bson.E{Key: "_id", Value: bson.D{{"$eq", id}}})
	return w.write(ctx, db, bson.D{{"update", coll}, {"updates", bson.A{bson.D{{"q", filter}, {"u", result}, by}}}})
}

// write runs a write command and returns its first write error as an error.
func (w writer) write(ctx context.Context, db string, cmd bson.D) error {
	reply, err := w.bound.op.run(ctx, db, cmd)
	if err != nil {
		return err
	}
	if errs := getDocs(reply, "writeErrors"); len(errs) > 0 {
		return mongoerr.New(mongoerr.Code(getInt(errs[0], "code", int64(mongoerr.InternalError))), "%s", getString(errs[0], "errmsg"))
	}
	return nil
}
