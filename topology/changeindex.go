package topology

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// createIndexes takes up indexes that the source has built. A cluster reports
// them once for each shard, so most are known already.
func (c *Changer) createIndexes(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	coll, ok := c.known(change.UUID)
	if !ok {
		return Outcome{}, nil
	}
	var out Outcome
	var build []bson.Raw
	for _, spec := range indexSpecs(change) {
		if coll.Collated {
			spec = ownCollation(spec)
		}
		if IndexName(spec) == "_id_" || c.hasIndex(coll.Destination, spec) {
			continue
		}
		ix := Index{NS: coll.Destination, Spec: spec, Built: !c.Defer, Finished: !c.Relax}
		out.Indexes = append(out.Indexes, ix)
		if !c.Defer {
			build = append(build, spec)
		}
	}
	if c.Relax {
		return out, BuildRelaxed(ctx, c.Client, coll.Destination, build)
	}
	return out, BuildIndexes(ctx, c.Client, coll.Destination, build)
}

func (c *Changer) hasIndex(ns shardferry.Namespace, spec bson.Raw) bool {
	for _, ix := range c.Indexes {
		if ix.NS == ns && SameIndex(ix.Spec, spec) {
			return true
		}
	}
	return false
}

func (c *Changer) dropIndexes(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	coll, ok := c.known(change.UUID)
	if !ok {
		return Outcome{}, nil
	}
	var out Outcome
	for _, spec := range indexSpecs(change) {
		name := IndexName(spec)
		err := c.dropIndex(ctx, coll.Destination, name)
		if mongoconn.IsCode(err, mongoconn.CodeCannotDropShardKeyIndex) {
			// On the source another one serves the shard key; here it may wait to be built.
			if out.Indexes, err = c.buildWaiting(ctx, coll.Destination); err == nil {
				err = c.dropIndex(ctx, coll.Destination, name)
			}
		}
		if err != nil && !mongoconn.IsCode(err, mongoconn.CodeIndexNotFound, mongoconn.CodeNamespaceNotFound) {
			return Outcome{}, fmt.Errorf("drop index %s of %s: %w", name, coll.Destination, err)
		}
		out.Dropped = append(out.Dropped, IndexRef{NS: coll.Destination, Name: name})
	}
	return out, nil
}

func (c *Changer) dropIndex(ctx context.Context, ns shardferry.Namespace, name string) error {
	return c.Client.Database(ns.DB).RunCommand(ctx, bson.D{{"dropIndexes", ns.Coll}, {"index", name}, majority}).Err()
}

// buildWaiting builds the indexes of a collection that wait for the end of the
// copy, and returns them.
func (c *Changer) buildWaiting(ctx context.Context, ns shardferry.Namespace) ([]Index, error) {
	var waiting []Index
	var specs []bson.Raw
	for _, ix := range c.Indexes {
		if ix.NS == ns && !ix.Built {
			ix.Built = true
			waiting, specs = append(waiting, ix), append(specs, RelaxIndex(ix.Spec))
		}
	}
	return waiting, BuildIndexes(ctx, c.Client, ns, specs)
}

// modify carries a collMod over. What is relaxed until the commit changes only
// in the record of its final form.
func (c *Changer) modify(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	ns, selected := c.Route.To(change.NS) // of a view
	if !change.UUID.IsZero() {
		coll, ok := c.known(change.UUID)
		if !ok {
			return Outcome{}, nil
		}
		ns = coll.Destination
	} else if !selected {
		return Outcome{}, nil
	} else if err := c.viewStands(ctx, change); err != nil {
		return Outcome{}, err
	}
	var out Outcome
	cmd := bson.D{{"collMod", ns.Coll}}
	elems, err := describe(change).Elements()
	if err != nil {
		return Outcome{}, fmt.Errorf("modify %s: %w", ns, err)
	}
	for _, e := range elems {
		switch {
		case e.Key() == "index":
			doc, _ := e.Value().DocumentOK()
			if out.Indexes = c.changedIndex(ns, doc); c.Relax && len(out.Indexes) > 0 {
				continue
			}
		case (e.Key() == "cappedSize" || e.Key() == "cappedMax" || e.Key() == "expireAfterSeconds") && c.Relax:
			out.Limits = c.changedLimit(out.Limits, ns, e)
			continue
		}
		cmd = append(cmd, bson.E{Key: e.Key(), Value: e.Value()})
	}
	if len(cmd) > 1 {
		if err := c.Client.Database(ns.DB).RunCommand(ctx, append(cmd, majority)).Err(); err != nil {
			return Outcome{}, fmt.Errorf("modify %s: %w", ns, err)
		}
	}
	return out, nil
}

// changedIndex returns the index that a collMod names, in its new final form,
// or nothing if it is not among those that still have to reach one.
func (c *Changer) changedIndex(ns shardferry.Namespace, mod bson.Raw) []Index {
	for _, ix := range c.Indexes {
		if ix.NS != ns || !namesIndex(mod, ix.Spec) {
			continue
		}
		fields, err := mod.Elements()
		if err != nil {
			return nil
		}
		spec := ix.Spec
		for _, f := range fields {
			if f.Key() != "name" && f.Key() != "keyPattern" {
				spec = withField(spec, f)
			}
		}
		ix.Spec, ix.Finished = spec, !c.Relax
		return []Index{ix}
	}
	return nil
}

func namesIndex(mod, spec bson.Raw) bool {
	if name, ok := mod.Lookup("name").StringValueOK(); ok {
		return name == IndexName(spec)
	}
	key, ok := mod.Lookup("keyPattern").DocumentOK()
	have, _ := spec.Lookup("key").DocumentOK()
	return ok && hasPrefix(have, key) && hasPrefix(key, have)
}

// withField returns spec with one field set; false removes it, as the server
// shows no flags that are off.
func withField(spec bson.Raw, f bson.RawElement) bson.Raw {
	b, isFlag := f.Value().BooleanOK()
	found := false
	out := rewrite(spec, func(e bson.RawElement) (any, bool) {
		if e.Key() != f.Key() {
			return e.Value(), true
		}
		found = true
		return f.Value(), !isFlag || b
	})
	if found || (isFlag && !b) {
		return out
	}
	return withAppended(out, bson.E{Key: f.Key(), Value: f.Value()})
}

func (c *Changer) changedLimit(changed []Limit, ns shardferry.Namespace, e bson.RawElement) []Limit {
	l := Limit{NS: ns}
	if len(changed) > 0 {
		l = changed[0]
	} else {
		for _, have := range c.Limits {
			if have.NS == ns {
				l = have
			}
		}
	}
	n, _ := e.Value().AsInt64OK()
	switch e.Key() {
	case "cappedSize":
		l.Size = n
	case "cappedMax":
		l.Max = n
	default:
		l.expire(e.Value())
	}
	return []Limit{l}
}

// indexSpecs returns the specifications that a createIndexes or dropIndexes
// event lists.
func indexSpecs(change shardferry.SchemaChange) []bson.Raw {
	arr, _ := describe(change).Lookup("indexes").ArrayOK()
	values, err := arr.Values()
	if err != nil {
		return nil
	}
	var specs []bson.Raw
	for _, v := range values {
		if d, ok := v.DocumentOK(); ok {
			specs = append(specs, d)
		}
	}
	return specs
}

// defaultIndexName is the name that drivers give an index: a_1_b_-1.
func defaultIndexName(key bson.Raw) string {
	elems, err := key.Elements()
	if err != nil {
		return "shard_key"
	}
	var parts []string
	for _, e := range elems {
		dir, ok := e.Value().StringValueOK()
		if !ok {
			n, _ := e.Value().AsInt64OK()
			dir = strconv.FormatInt(n, 10)
		}
		parts = append(parts, e.Key(), dir)
	}
	return strings.Join(parts, "_")
}
