package topology

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Missed returns schema changes that lead from the catalogue to what the source is
// now, in an order in which they can be made. It is for changes that nobody has
// seen, because the source's oplog has let go of them: what happened in between,
// and in which order, is not known and does not matter. src and left are what the
// source holds and is or is not selected; dst is the destination.
func (c *Changer) Missed(src *Cluster, left []Collection, dst *Cluster) ([]shardferry.SchemaChange, error) {
	now := map[shardferry.UUID]*Collection{}
	for _, list := range [][]Collection{src.Collections, left} {
		for i := range list {
			if !list[i].UUID.IsZero() {
				now[list[i].UUID] = &list[i]
			}
		}
	}
	var drops, renames, creates, rest []shardferry.SchemaChange
	for _, coll := range c.Collections {
		if coll.Dropped {
			continue
		}
		is := now[coll.UUID]
		switch {
		case is == nil:
			drops = append(drops, shardferry.SchemaChange{Kind: "drop", UUID: coll.UUID, NS: coll.Source})
		case is.NS != coll.Source:
			renames = append(renames, shardferry.SchemaChange{Kind: "rename", UUID: coll.UUID, NS: coll.Source, To: is.NS})
		case !coll.Excluded:
			changed, err := c.missedIn(coll, is, dst)
			if err != nil {
				return nil, err
			}
			rest = append(rest, changed...)
		}
	}
	for _, list := range [][]Collection{src.Collections, left} {
		for i := range list {
			is := &list[i]
			if _, ok := c.met(is.UUID); ok || is.UUID.IsZero() || is.Type == TypeView {
				continue
			}
			if problems := is.problems(); len(problems) > 0 && c.selected(is.NS) {
				return nil, fmt.Errorf("%s: %w", problems[0], ErrUnsupportedChange)
			}
			creates = append(creates, shardferry.SchemaChange{
				Kind: "create", UUID: is.UUID, NS: is.NS, Event: mustMarshal(bson.D{{"operationDescription", CreateOptions(is.Options)}}),
			})
		}
	}
	renames, err := c.inOrder(renames)
	return slices.Concat(drops, renames, creates, rest), err
}

func (c *Changer) selected(ns shardferry.Namespace) bool {
	_, ok := c.Route.To(ns)
	return ok
}

// inOrder sorts renames so that each name is free when it is taken.
func (c *Changer) inOrder(renames []shardferry.SchemaChange) ([]shardferry.SchemaChange, error) {
	held := map[shardferry.Namespace]bool{}
	for _, r := range renames {
		held[r.NS] = true
	}
	var out []shardferry.SchemaChange
	for len(renames) > 0 {
		free := slices.IndexFunc(renames, func(r shardferry.SchemaChange) bool { return !held[r.To] })
		if free < 0 {
			return nil, fmt.Errorf("collections have exchanged their names (%s is %s now): %w", renames[0].NS, renames[0].To, ErrUnsupportedChange)
		}
		delete(held, renames[free].NS)
		out = append(out, renames[free])
		renames = slices.Delete(renames, free, free+1)
	}
	return out, nil
}

// missedIn returns what has changed in one collection.
func (c *Changer) missedIn(coll shardferry.Collection, is *Collection, dst *Cluster) ([]shardferry.SchemaChange, error) {
	at := slices.IndexFunc(dst.Collections, func(d Collection) bool { return d.NS == coll.Destination })
	if at < 0 {
		return nil, fmt.Errorf("%s is gone from the destination: %w", coll.Destination, ErrUnsupportedChange)
	}
	there := &dst.Collections[at]
	change := shardferry.SchemaChange{UUID: coll.UUID, NS: is.NS}
	var out []shardferry.SchemaChange
	add := func(kind string, description bson.D) {
		one := change
		one.Kind, one.Event = kind, mustMarshal(bson.D{{"operationDescription", description}})
		out = append(out, one)
	}
	gone, come := c.missedIndexes(coll.Destination, is, there)
	if len(gone) > 0 {
		add("dropIndexes", bson.D{{"indexes", gone}})
	}
	if len(come) > 0 {
		add("createIndexes", bson.D{{"indexes", come}})
	}
	switch {
	case !c.Sharded || bytes.Equal(normalNumbers(is.ShardKey), normalNumbers(coll.ShardKey)):
	case len(coll.ShardKey) == 0:
		add("shardCollection", bson.D{{"shardKey", is.ShardKey}, {"unique", is.Unique}})
	default:
		return nil, fmt.Errorf("the shard key of %s was %s and is %s: %w", is.NS, coll.ShardKey, is.ShardKey, ErrUnsupportedChange)
	}
	if mod := missedOptions(is, there); len(mod) > 0 {
		add("modify", mod)
	}
	if mod := c.missedLimit(coll.Destination, is); len(mod) > 0 {
		add("modify", mod)
	}
	return out, nil
}

// missedLimit returns the fields of the collMod by which the source's collection
// came to have other limits than are recorded.
func (c *Changer) missedLimit(ns shardferry.Namespace, is *Collection) (mod bson.D) {
	if !c.Relax {
		return nil
	}
	have := Limit{NS: ns}
	if at := slices.IndexFunc(c.Limits, func(l Limit) bool { return l.NS == ns }); at >= 0 {
		have = c.Limits[at]
	}
	l, _ := is.limit()
	if is.Capped() && (have.Size != l.Size || have.Max != l.Max) {
		mod = append(mod, bson.E{Key: "cappedSize", Value: l.Size}, bson.E{Key: "cappedMax", Value: l.Max})
	}
	switch {
	case l.Expires && (!have.Expires || have.After != l.After):
		mod = append(mod, bson.E{Key: "expireAfterSeconds", Value: l.After})
	case !l.Expires && have.Expires:
		mod = append(mod, bson.E{Key: "expireAfterSeconds", Value: "off"})
	}
	return mod
}

// missedIndexes returns the indexes that the source has no more, and those that it
// has and the catalogue has not.
func (c *Changer) missedIndexes(ns shardferry.Namespace, is, there *Collection) (gone, come []bson.Raw) {
	same := func(list []bson.Raw, spec bson.Raw) bool {
		return slices.ContainsFunc(list, func(s bson.Raw) bool { return SameIndex(s, spec) })
	}
	var known []bson.Raw
	for _, ix := range c.Indexes {
		if ix.NS == ns {
			known = append(known, ix.Spec)
			if !same(is.Indexes, ix.Spec) {
				gone = append(gone, ix.Spec)
			}
		}
	}
	for _, spec := range is.Indexes {
		if !same(known, spec) && !same(there.Indexes, spec) {
			come = append(come, spec)
		}
	}
	return gone, come
}

// missedOptions returns the fields of the collMod that gives the destination's
// collection the options of the source's.
func missedOptions(is, there *Collection) bson.D {
	var mod bson.D
	for _, o := range []struct {
		name string
		none any
	}{
		{"validator", bson.D{}},
		{"validationLevel", "strict"},
		{"validationAction", "error"},
		{"changeStreamPreAndPostImages", bson.D{{"enabled", false}}},
	} {
		want, ok := is.Option(o.name)
		have, had := there.Option(o.name)
		switch {
		case ok && (!had || !want.Equal(have)):
			mod = append(mod, bson.E{Key: o.name, Value: want})
		case !ok && had:
			mod = append(mod, bson.E{Key: o.name, Value: o.none})
		}
	}
	return mod
}

// Views makes the views of the destination those that the source has now.
func (c *Changer) Views(ctx context.Context, src, dst *Cluster) error {
	want := map[shardferry.Namespace]bson.Raw{}
	for _, v := range src.Collections {
		if to, ok := c.Route.To(v.NS); ok && v.Type == TypeView {
			if err := c.checkView(v.NS, v.Options); err != nil {
				return err
			}
			want[to] = CreateOptions(v.Options)
		}
	}
	for _, v := range dst.Collections {
		options, ok := want[v.NS]
		if v.Type != TypeView || ok && bytes.Equal(NormalOptions(options), NormalOptions(CreateOptions(v.Options))) {
			continue
		}
		if err := c.dropView(ctx, v.NS); err != nil {
			return err
		}
	}
	for _, v := range src.Collections {
		if to, ok := c.Route.To(v.NS); ok && v.Type == TypeView {
			if err := createIfAbsent(ctx, c.Client, to, want[to]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Scannable makes sure that the destination has the index by which a collection
// is going to be compared with the source's.
func (c *Changer) Scannable(ctx context.Context, coll shardferry.Collection, is *Collection, dst *Cluster, key bson.Raw) error {
	if isIDKey(key) {
		return nil
	}
	of := func(spec bson.Raw) bool {
		partial, sparse := spec.Lookup("partialFilterExpression"), isTrue(spec, "sparse")
		return bytes.Equal(spec.Lookup("key").Value, key) && partial.IsZero() && !sparse && !collated(spec)
	}
	for _, there := range dst.Collections {
		if there.NS == coll.Destination && slices.ContainsFunc(there.Indexes, of) {
			return nil
		}
	}
	for _, spec := range is.Indexes {
		if of(spec) {
			return BuildRelaxed(ctx, c.Client, coll.Destination, []bson.Raw{spec})
		}
	}
	return fmt.Errorf("%s has no index %s: %w", is.NS, key, ErrUnsupportedChange)
}

// Refill prepares an unsharded capped collection for another copy: the order of
// its documents can only be had from the start. Its indexes are built anew.
func (c *Changer) Refill(ctx context.Context, coll shardferry.Collection, is *Collection) (Outcome, error) {
	if err := c.dropCollection(ctx, coll.Destination); err != nil {
		return Outcome{}, err
	}
	options := CreateOptions(is.Options)
	if c.Relax {
		options = loosen(options)
	}
	if err := createIfAbsent(ctx, c.Client, coll.Destination, options); err != nil {
		return Outcome{}, err
	}
	var out Outcome
	for _, ix := range c.Indexes {
		if ix.NS == coll.Destination {
			ix.Built, ix.Finished = false, false
			out.Indexes = append(out.Indexes, ix)
		}
	}
	return out, nil
}
