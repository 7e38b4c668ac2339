package mongos

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Results that shards have put in an order by something that documents do not
// hold: by their distance from a point, or by the score of a text search. The
// router works it out again to merge them. A server's shards send it along
// ($sortKey), which comes to the same.

// matcher compiles the filter of the client's command as the shards do.
func (o *op) matcher(ctx context.Context, rt route, filter bson.Raw, by *collation.Collation) (*query.Matcher, error) {
	m, err := query.Compile(filter, query.Options{Expr: o.exprHook(), Collation: by, Where: anyWhere, Near: true, Text: query.TextAllowed})
	if err != nil || !m.HasText() {
		return m, err
	}
	specs, err := o.r.own().indexes(ctx, rt.shards[0], rt.ns)
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		if has(s, "weights") {
			return m.WithText(s)
		}
	}
	return m, nil // the shards refuse it
}

// order is how the shards sort what a find matches, nil if they do not.
func order(m *query.Matcher, sort bson.Raw) (func(a, b bson.Raw) int, error) {
	if value.IsEmpty(sort) {
		if near := m.Near(); near != nil {
			return byDistance(near), nil
		}
		return nil, nil //nolint:nilnil // no order is one, too
	}
	s, err := m.CompileSort(sort)
	if err != nil {
		return nil, err
	}
	return s.Compare, nil
}

func byDistance(near *query.Near) func(a, b bson.Raw) int {
	return func(a, b bson.Raw) int {
		x, _ := near.Distance(a)
		y, _ := near.Distance(b)
		return cmp.Compare(x, y)
	}
}

// shardDistance is where shards note the distance if the client wants it nowhere.
const shardDistance = "__geoNearDistance"

// nearPipeline returns the $geoNear of a pipeline as the shards run it, and how
// their results are merged: by the field with the distance, which is taken away
// again if the client has not asked for one.
func nearPipeline(stages []bson.Raw) (onShards, onRouter []bson.Raw, compare func(a, b bson.Raw) int) {
	spec := getDoc(stages[0], "$geoNear")
	field, onRouter := getString(spec, "distanceField"), slices.Clone(stages[1:])
	onShards = stages[:1:1]
	if field == "" && !has(spec, "distanceField") {
		field = shardDistance
		onShards = []bson.Raw{rawDoc(bson.D{{"$geoNear", edit(spec, nil, bson.E{Key: "distanceField", Value: field})}})}
		onRouter = append([]bson.Raw{rawDoc(bson.D{{"$unset", field}})}, onRouter...)
	}
	path := strings.Split(field, ".")
	at := func(doc bson.Raw) float64 {
		v, err := doc.LookupErr(path...)
		if err != nil {
			return 0
		}
		d, _ := value.AsFloat64(v)
		return d
	}
	return onShards, onRouter, func(a, b bson.Raw) int { return cmp.Compare(at(a), at(b)) }
}

// together reads sources one after the other, or in the order of compare.
func together(sources []aggregate.Source, compare func(a, b bson.Raw) int) aggregate.Source {
	if compare == nil {
		return &chainSource{rest: sources}
	}
	return &sortedSource{compare: compare, rest: sources}
}
