package mongos

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Chunks are bounded by the bytes of strings. So a filter that compares strings
// otherwise says nothing about the shards that a string in the shard key leads
// to, and a router orders what shards sorted by the same rules as they did. The
// shards apply the collection's default collation by themselves.

// comparing is how a command, or one statement of it, compares strings in ns: as
// it says, or as the collection does. For collections that live on one shard nil
// stands for whatever that shard decides.
func (o *op) comparing(ns string, body bson.Raw) (*collation.Collation, error) {
	if c := getDoc(body, "collation"); !value.IsEmpty(c) {
		return collation.Parse(c)
	}
	if t := o.r.known.table(ns); t != nil {
		return t.collation, nil
	}
	return nil, nil //nolint:nilnil // the simple collation is nil
}

// collationArg is coll as the argument of a command that must not fall back on
// a collection's own.
func collationArg(coll *collation.Collation) bson.E {
	if coll == nil {
		return bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}}
	}
	return bson.E{Key: "collation", Value: coll.Doc()}
}

// onView makes o's command one with the collation of a view, which allows no
// other.
func (o *op) onView(ns string, v view) error {
	if c := getDoc(o.req.Body, "collation"); !value.IsEmpty(c) {
		coll, err := collation.Parse(c)
		if err != nil {
			return err
		}
		if !coll.Same(v.collation) {
			return mongoerr.New(mongoerr.OptionNotSupportedOnView, "Cannot override a view's default collation%s", ns)
		}
	}
	req := *o.req
	req.Body = set(req.Body, collationArg(v.collation))
	o.req = &req
	return nil
}

// defaultCollation reads the collation of a collection's options.
func defaultCollation(options bson.Raw) (*collation.Collation, error) {
	if c := getDoc(options, "collation"); c != nil {
		return collation.Parse(c)
	}
	return nil, nil //nolint:nilnil // the simple collation is nil
}

// explicit gives the indexes of a collection with a default collation that have
// none themselves the simple one: made elsewhere they would inherit it.
func explicit(specs []bson.Raw) []bson.Raw {
	collated := false
	for _, s := range specs {
		collated = collated || keysOf(getDoc(s, "key")) == "_id" && has(s, "collation")
	}
	if !collated {
		return specs
	}
	out := make([]bson.Raw, len(specs))
	for i, s := range specs {
		if out[i] = s; !has(s, "collation") {
			out[i] = set(s, collationArg(nil))
		}
	}
	return out
}

// checkCollation refuses any but the simple collation for sharding, and to shard
// a collection with a default collation unless it is asked for.
func (s *sharding) checkCollation(options bson.Raw) error {
	given := getDoc(s.req.Body, "collation")
	asked, err := defaultCollation(s.req.Body)
	if err != nil {
		return err
	}
	if asked != nil {
		return mongoerr.New(mongoerr.BadValue, "The collation for shardCollection must be {locale: 'simple'}, but found: %s", given)
	}
	if s.collation, err = defaultCollation(options); err != nil {
		return err
	}
	if s.collation != nil && given == nil {
		return mongoerr.New(mongoerr.BadValue, "Collection has default collation: %s. Must specify collation {locale: 'simple'}", s.collation.Doc())
	}
	return nil
}
