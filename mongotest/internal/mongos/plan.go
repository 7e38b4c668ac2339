package mongos

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A plan is where one statement on a sharded collection goes.
type plan struct {
	statement
	shards []string
	many   bool  // multi: true or limit: 0
	byID   bool  // the filter fixes _id, so at most one document per shard matches
	spread bool  // even for one shard, what happens next depends on its answer
	alone  bool  // it may move a document to another shard
	err    error // why it cannot be routed
}

// single reports whether the statement can go to its shard with others.
func (p plan) single() bool { return p.err == nil && len(p.shards) == 1 && !p.spread }

// plan routes a statement by its document or its filter.
func (w *writeOp) plan(s statement) plan {
	p := plan{statement: s}
	t := w.rt.table
	if t.unsplittable {
		p.shards = t.shards()
		return p
	}
	if t.series != nil && getBool(w.req.Body, "isTimeseriesNamespace", false) {
		return w.planSeries(s)
	}
	if w.req.Name == "insert" {
		shard, err := t.shardOf(s.doc)
		if err == nil {
			err = w.rt.checkMoved(w.op, s.doc, nil, nil)
		}
		p.shards, p.err = []string{shard}, err
		return p
	}
	q := getDoc(s.doc, "q")
	by, err := w.comparing(t.ns, s.doc)
	if err == nil {
		err = w.rt.checkMoved(w.op, nil, q, by)
	}
	if err != nil {
		p.err = err
		return p
	}
	tg, err := t.target(q, by)
	if err != nil {
		p.err = err
		return p
	}
	p.shards, p.byID = tg.shards, t.fixesID(q, by)
	if w.req.Name == "delete" {
		p.many = getInt(s.doc, "limit", 0) == 0
		if !p.many && !tg.exact && !p.byID && !w.r.freeTargeting() {
			p.err = mongoerr.New(mongoerr.ShardKeyNotFound, "A single delete on a sharded collection must contain an exact match on _id or contain the shard key. Delete request: %s, shard key pattern: %s", s.doc, t.key.raw)
		}
		return p
	}
	p.many = getBool(s.doc, "multi", false)
	upsert := getBool(s.doc, "upsert", false)
	switch {
	case upsert && !tg.exact && !w.r.freeTargeting():
		p.err = mongoerr.New(mongoerr.ShardKeyNotFound, "Failed to target upsert by query :: could not extract exact shard key")
	case !p.many && !tg.exact && !p.byID && !w.r.freeTargeting():
		p.err = mongoerr.New(mongoerr.InvalidOptions, "A {multi:false} update on a sharded collection must contain an exact match on _id or contain the shard key. Update request: %s, shard key pattern: %s", s.doc, t.key.raw)
	}
	p.spread = upsert && !tg.exact
	u, _ := value.Get(s.doc, "u")
	if t.key.touchedBy(u) && !t.staysPut(u, tg) {
		p.alone = !p.many
		if p.many && isOperators(u) {
			p.err = mongoerr.New(mongoerr.InvalidOptions, "Multi-update operations are not allowed when updating the shard key field.")
		}
	}
	p.alone = p.alone && p.err == nil
	return p
}

// freeTargeting reports whether updateOne, deleteOne and upserts may leave out
// the shard key, as they may since 8.0.
func (r *Router) freeTargeting() bool { return r.cfg.Version.AtLeast(8, 0) }

// fixesID reports whether the filter asks for one _id. Equal to a string are
// several, unless it is compared as the _id index does.
func (t *table) fixesID(q bson.Raw, by *collation.Collation) bool {
	v, _ := value.Get(q, "_id")
	return fixesID(q) && (by.Same(t.collation) || !collation.HasStrings(v))
}

func fixesID(q bson.Raw) bool {
	v, ok := value.Get(q, "_id")
	if !ok || v.Type == bson.TypeRegex {
		return false
	}
	d, isDoc := v.DocumentOK()
	if !isDoc {
		return true
	}
	e, err := d.IndexErr(0)
	return err != nil || !strings.HasPrefix(e.Key(), "$") || e.Key() == "$eq"
}

// staysPut reports whether a replacement certainly leaves its document on the
// shard it is on.
func (t *table) staysPut(u bson.RawValue, tg target) bool {
	doc, ok := u.DocumentOK()
	if !ok || isOperators(u) || !tg.exact {
		return false
	}
	if len(t.key.fields) > 0 && t.key.hasID() && !has(doc, "_id") {
		return false
	}
	shard, err := t.shardOf(doc)
	return err == nil && len(tg.shards) == 1 && shard == tg.shards[0]
}

func (k keyPattern) hasID() bool {
	for _, f := range k.fields {
		if overlap(f.path, "_id") {
			return true
		}
	}
	return false
}

func isOperators(u bson.RawValue) bool {
	d, ok := u.DocumentOK()
	if !ok {
		return false
	}
	e, err := d.IndexErr(0)
	return err == nil && strings.HasPrefix(e.Key(), "$")
}

// touchedBy reports whether an update may change the shard key of a document.
// A key of _id alone never changes.
func (k keyPattern) touchedBy(u bson.RawValue) bool {
	if arr, ok := u.ArrayOK(); ok {
		for _, stage := range docsOf(u) {
			if k.touchedByStage(stage) {
				return true
			}
		}
		return len(arr) < 5 // not a pipeline at all
	}
	if !isOperators(u) {
		return k.mutable()
	}
	for op, fields := range value.Elements(u.Document()) {
		d, _ := fields.DocumentOK()
		for path, v := range value.Elements(d) {
			if k.overlaps(path) {
				return true
			}
			if to, ok := v.StringValueOK(); ok && op == "$rename" && k.overlaps(to) {
				return true
			}
		}
	}
	return false
}

func (k keyPattern) touchedByStage(stage bson.Raw) bool {
	for name, v := range value.Elements(stage) {
		switch name {
		case "$set", "$addFields":
			d, _ := v.DocumentOK()
			for path := range value.Elements(d) {
				if k.overlaps(path) {
					return true
				}
			}
		case "$unset":
			if s, ok := v.StringValueOK(); ok && k.overlaps(s) {
				return true
			}
			arr, _ := v.ArrayOK()
			for _, e := range value.Elements(bson.Raw(arr)) {
				if s, ok := e.StringValueOK(); ok && k.overlaps(s) {
					return true
				}
			}
		default:
			return k.mutable()
		}
	}
	return false
}

// mutable reports whether documents can change their key at all.
func (k keyPattern) mutable() bool {
	for _, f := range k.fields {
		if f.path != "_id" {
			return true
		}
	}
	return false
}

func (k keyPattern) overlaps(path string) bool {
	for _, f := range k.fields {
		if f.path != "_id" && overlap(f.path, path) {
			return true
		}
	}
	return false
}

// overlap reports whether one path is the other or leads to it.
func overlap(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}
