package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// writer stores the results of $out and $merge, on the primary of the set
// whatever member reads for them (the server's ReplicaSetNodeProcessInterface).
type writer struct {
	op     *operation
	bypass bool
	coll   *collation.Collation
}

// Replace implements aggregate.Writer. Like the server's $out it fills a
// temporary collection and renames it over the target.
func (w writer) Replace(ctx context.Context, db, coll string, series bson.Raw, docs []bson.Raw) error {
	w, ctx, end, err := w.onPrimary(ctx)
	if err != nil {
		return err
	}
	defer end()
	target := db + "." + coll
	if isSeries, err := w.intoSeries(target, series); err != nil || isSeries {
		if err != nil {
			return err
		}
		return w.replaceSeries(ctx, db, coll, series, docs)
	}
	temp := db + ".tmp.agg_out." + value.NewUUID().String()
	m := w.meta()
	return w.op.write(ctx, target, func(tx *storage.Tx) error {
		options, indexes := emptyDoc(), []bson.Raw(nil)
		if old := tx.Collection(target); old != nil {
			if old.IsView() {
				return viewError(old)
			}
			if old.Capped() {
				return mongoerr.New(17152, "namespace '%s' is capped so it can't be used for $out", target)
			}
			options, indexes = old.Options, old.IndexSpecs()
		}
		c, err := tx.Create(temp, storage.CollectionSpec{Options: options}, m)
		if err != nil {
			return err
		}
		if len(indexes) > 0 {
			if _, err := tx.CreateIndexes(c, indexes, m); err != nil {
				return err
			}
		}
		for _, d := range docs {
			if _, err := tx.Insert(c, d, m); err != nil {
				return err
			}
		}
		return tx.Rename(temp, target, true, m)
	})
}

// Merge implements aggregate.Writer.
func (w writer) Merge(ctx context.Context, db, coll string, on []string, doc bson.Raw, decide func(bson.Raw) (bson.Raw, error)) error {
	w, ctx, end, err := w.onPrimary(ctx)
	if err != nil {
		return err
	}
	defer end()
	ns := db + "." + coll
	m := w.meta()
	return w.op.write(ctx, ns, func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if c == nil {
			var err error
			if c, err = tx.Create(ns, storage.CollectionSpec{Options: emptyDoc()}, m); err != nil {
				return err
			}
		}
		if c.IsView() {
			return viewError(c)
		}
		if !w.unique(c, on) {
			return mongoerr.New(51183, "Cannot find index to verify that join fields will be unique")
		}
		rec, ok, err := w.find(ctx, tx, c, on, doc)
		if err != nil {
			return err
		}
		var existing bson.Raw
		if ok {
			existing = rec.Doc
		}
		out, err := decide(existing)
		switch {
		case err != nil || out == nil:
			return err
		case ok:
			_, err = tx.Replace(c, rec.ID, out, m)
		default:
			_, err = tx.Insert(c, out, m)
		}
		return err
	})
}

// onPrimary returns w as one that writes on the primary to the latest data, which
// are not those that its operation may be reading. The returned function must be
// called when it has.
func (w writer) onPrimary(ctx context.Context) (writer, context.Context, func(), error) {
	reads := w.op
	if reads.snapshot == nil && reads.node.topo.isPrimary() {
		return w, ctx, func() {}, nil
	}
	p := reads.node.set.primaryFor(reads.node)
	if p == nil {
		return w, nil, nil, mongoerr.New(mongoerr.PrimarySteppedDown, "No primary exists currently")
	}
	w.op = &operation{node: p, handler: reads.handler, req: reads.req, scripts: reads.scripts, inSession: inSession{number: noNumber}}
	w.op.enterLine()
	if p == reads.node {
		w.op.running, w.op.ctx = reads.running, ctx
		return w, ctx, func() {}, w.op.checkLine()
	}
	ctx, end, err := p.begin(ctx, w.op)
	return w, ctx, end, err
}

// unique reports whether c has a unique index on exactly these fields, which
// compares strings as the pipeline does. By _id alone there is always one.
func (w writer) unique(c *storage.Collection, on []string) bool {
	if len(on) == 1 && on[0] == "_id" {
		return true
	}
	return slices.ContainsFunc(c.Indexes(), func(ix *storage.Index) bool {
		fields := ix.Fields()
		if !ix.Unique || ix.Partial != nil || len(fields) != len(on) || !ix.Collation().Same(w.coll) {
			return false
		}
		return !slices.ContainsFunc(on, func(name string) bool { return !slices.Contains(fields, name) })
	})
}

// find returns the record that equals doc in the fields on.
func (w writer) find(ctx context.Context, tx *storage.Tx, c *storage.Collection, on []string, doc bson.Raw) (storage.Rec, bool, error) {
	if len(on) == 1 && on[0] == "_id" {
		id := doc.Lookup("_id")
		if id.Type == 0 {
			return storage.Rec{}, false, nil
		}
		rec, ok := tx.FindID(c, id)
		return rec, ok, nil
	}
	var pairs []any
	for _, field := range on {
		v, ok := value.Lookup(doc, field)
		if !ok || v.Type == bson.TypeNull || v.Type == bson.TypeArray {
			return storage.Rec{}, false, mongoerr.New(51132, "$merge write error: 'on' field '%s' cannot be missing, null, undefined or an array", field)
		}
		pairs = append(pairs, field, value.D("$eq", v))
	}
	lang, err := w.op.language(nil, w.coll)
	if err != nil {
		return storage.Rec{}, false, err
	}
	want := wanted{filter: value.D(pairs...)}
	if want.matcher, err = lang.filter(want.filter); err != nil {
		return storage.Rec{}, false, err
	}
	recs, err := matching(ctx, tx, c, want, nil, 1)
	if err != nil || len(recs) == 0 {
		return storage.Rec{}, false, err
	}
	return recs[0], true, nil
}

func (w writer) meta() storage.Meta {
	m := w.op.meta(0)
	m.BypassValidation = w.bypass
	return m
}
