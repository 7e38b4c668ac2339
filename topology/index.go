package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// IndexName returns the name of an index.
func IndexName(spec bson.Raw) string {
	name, _ := spec.Lookup("name").StringValueOK()
	return name
}

// RelaxIndex returns the form in which an index exists on the destination until
// the commit: not unique, because lanes apply in parallel and two documents may
// exchange a value; never expiring; visible.
func RelaxIndex(spec bson.Raw) bson.Raw {
	return rewrite(spec, func(e bson.RawElement) (any, bool) {
		switch e.Key() {
		case "unique", "prepareUnique", "hidden", "ns":
			return nil, false
		case "expireAfterSeconds":
			return ttlNever, true
		}
		return e.Value(), true
	})
}

// ownCollation says of an index of a collection with a default collation that it
// has none, if it has none: left unsaid, a new index takes the collection's.
func ownCollation(spec bson.Raw) bson.Raw {
	if _, err := spec.LookupErr("collation"); err == nil {
		return spec
	}
	return withAppended(spec, bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}})
}

// BuildIndexes builds indexes of one collection with one command. Those that
// exist already with the same key and options are no error.
func BuildIndexes(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, specs []bson.Raw) error {
	if len(specs) == 0 {
		return nil
	}
	return buildIndexes(ctx, client, ns, bson.D{{"createIndexes", ns.Coll}, {"indexes", specs}, majority})
}

// BuildIndexesOf is BuildIndexes for the collection that has the UUID. If its name
// is another's by then, or nobody's, that is a CollectionUUIDMismatch. Without the
// UUID a command that comes late would make a collection of the name.
func BuildIndexesOf(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, id shardferry.UUID, specs []bson.Raw) error {
	return buildIndexes(ctx, client, ns, bson.D{
		{"createIndexes", ns.Coll}, {"indexes", specs}, {"collectionUUID", id}, majority,
	})
}

func buildIndexes(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, cmd bson.D) error {
	if err := client.Database(ns.DB).RunCommand(ctx, cmd).Err(); err != nil {
		return fmt.Errorf("build indexes of %s: %w", ns, err)
	}
	return nil
}

// UUIDOf returns the UUID of a collection, the zero UUID if there is none of the
// name.
func UUIDOf(ctx context.Context, client *mongo.Client, ns shardferry.Namespace) (shardferry.UUID, error) {
	colls, err := listMatching(ctx, client, ns.DB, bson.D{{"name", ns.Coll}})
	if err != nil || len(colls) == 0 {
		return shardferry.UUID{}, err
	}
	return colls[0].UUID, nil
}

// FinishIndex gives an index of the destination its final form: unique, expiring
// or hidden. It looks first and does only what is missing.
func FinishIndex(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, spec bson.Raw) error {
	have, err := listIndexes(ctx, client, ns)
	if err != nil {
		return err
	}
	for _, current := range have {
		if IndexName(current) != IndexName(spec) {
			continue
		}
		for _, change := range indexChanges(current, spec) {
			if err := collMod(ctx, client, ns, append(bson.D{{"name", IndexName(spec)}}, change)); err != nil {
				return err
			}
		}
		return nil
	}
	// It went missing, or was never built: then it gets its final form at once.
	return BuildIndexes(ctx, client, ns, []bson.Raw{spec})
}

// indexChanges lists the collMod fields that turn current into final, in the
// order in which they must be sent.
func indexChanges(current, final bson.Raw) []bson.E {
	var changes []bson.E
	if v, err := final.LookupErr("expireAfterSeconds"); err == nil {
		want, _ := v.AsInt64OK()
		got, ok := current.Lookup("expireAfterSeconds").AsInt64OK()
		if !ok || got != want {
			changes = append(changes, bson.E{Key: "expireAfterSeconds", Value: want})
		}
	}
	if isTrue(final, "unique") && !isTrue(current, "unique") {
		if !isTrue(current, "prepareUnique") {
			changes = append(changes, bson.E{Key: "prepareUnique", Value: true})
		}
		changes = append(changes, bson.E{Key: "unique", Value: true})
	}
	if isTrue(final, "prepareUnique") && !isTrue(current, "prepareUnique") && !isTrue(final, "unique") {
		changes = append(changes, bson.E{Key: "prepareUnique", Value: true})
	}
	if isTrue(final, "hidden") != isTrue(current, "hidden") {
		changes = append(changes, bson.E{Key: "hidden", Value: isTrue(final, "hidden")})
	}
	return changes
}

func collMod(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, index bson.D) error {
	err := client.Database(ns.DB).RunCommand(ctx, bson.D{{"collMod", ns.Coll}, {"index", index}, majority}).Err()
	if mongoconn.IsCode(err, mongoconn.CodeCannotConvertIndexToUnique) {
		return fmt.Errorf("index %v of %s cannot be made unique, because documents share a value%s: find and repair them on the source: %w",
			index[0].Value, ns, violations(err), errors.Join(err, unprepare(ctx, client, ns, index[0])))
	}
	if err != nil {
		return fmt.Errorf("change index %v of %s: %w", index[0].Value, ns, err)
	}
	return nil
}

// unprepare lets an index take duplicates again: the sync goes on after a commit
// that was given up.
func unprepare(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, name bson.E) error {
	return client.Database(ns.DB).RunCommand(ctx, bson.D{
		{"collMod", ns.Coll}, {"index", bson.D{name, {"prepareUnique", false}}}, majority,
	}).Err()
}

const violationsShown = 5

// violations names the documents that the reply to a refused conversion lists.
func violations(err error) string {
	var ce mongo.CommandError
	if !errors.As(err, &ce) {
		return ""
	}
	list, _ := ce.Raw.Lookup("violations").ArrayOK()
	groups, lerr := list.Values()
	if lerr != nil || len(groups) == 0 {
		return ""
	}
	var shown []string
	for _, g := range groups[:min(len(groups), violationsShown)] {
		doc, _ := g.DocumentOK()
		shown = append(shown, doc.Lookup("ids").String())
	}
	return fmt.Sprintf(" (%d groups, of _id %s)", len(groups), strings.Join(shown, " and "))
}

// isTrue reports whether a flag is set. The server takes numbers for flags too,
// and shows them as they were given.
func isTrue(spec bson.Raw, name string) bool {
	v := spec.Lookup(name)
	if n, ok := v.AsFloat64OK(); ok {
		return n != 0
	}
	b, _ := v.BooleanOK()
	return b
}

// FinishLimit shrinks a capped collection of the destination to its final size,
// or has a clustered one expire.
func FinishLimit(ctx context.Context, client *mongo.Client, l Limit) error {
	cmd := bson.D{{"collMod", l.NS.Coll}}
	if l.Size > 0 {
		cmd = append(cmd, bson.E{Key: "cappedSize", Value: l.Size})
	}
	if l.Max > 0 {
		cmd = append(cmd, bson.E{Key: "cappedMax", Value: l.Max})
	}
	if l.Expires {
		cmd = append(cmd, bson.E{Key: "expireAfterSeconds", Value: l.After})
	}
	if len(cmd) == 1 {
		return nil // it expires no more
	}
	if err := client.Database(l.NS.DB).RunCommand(ctx, append(cmd, majority)).Err(); err != nil {
		return fmt.Errorf("set the limits of %s: %w", l.NS, err)
	}
	return nil
}

// SameIndex reports whether two specifications make the same index, whatever
// the order and the number types of their options.
func SameIndex(a, b bson.Raw) bool {
	return bytes.Equal(normalIndex(a), normalIndex(b))
}

// SameRelaxed reports whether two specifications make the same index apart from
// what is relaxed until the commit, in whichever form each of them is.
func SameRelaxed(a, b bson.Raw) bool {
	bare := func(spec bson.Raw) bson.Raw {
		return rewrite(RelaxIndex(spec), func(e bson.RawElement) (any, bool) { return e.Value(), e.Key() != "expireAfterSeconds" })
	}
	return SameIndex(bare(a), bare(b))
}

// withAppended copies a document and adds a field to it.
func withAppended(doc bson.Raw, field bson.E) bson.Raw {
	elems, err := doc.Elements()
	if err != nil {
		return doc
	}
	out := make(bson.D, 0, len(elems)+1)
	for _, e := range elems {
		out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
	}
	return mustMarshal(append(out, field))
}

// rewrite copies a document field by field; f returns the value to write, and
// whether to keep the field at all.
func rewrite(doc bson.Raw, f func(bson.RawElement) (any, bool)) bson.Raw {
	elems, err := doc.Elements()
	if err != nil {
		return doc
	}
	out := bson.D{}
	for _, e := range elems {
		if v, keep := f(e); keep {
			out = append(out, bson.E{Key: e.Key(), Value: v})
		}
	}
	return mustMarshal(out)
}
