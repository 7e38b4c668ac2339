package node_test

import (
	"fmt"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A documentRow is a sort of documents, with a collection of its own. Each of its
// documents ends with the field x, which is changed.
type documentRow struct {
	name     string
	ids      []any    // one document for each; default 1, 2 and 3
	bodies   []bson.D // what the documents hold, in turn
	key      bson.D   // the shard key on a sharded source; default a hashed _id
	collated bool     // the collection ignores case; not sharded
	since    string   // of servers before this series no source can have it
	full     bool     // there is no room for another field
	both     bool     // only where both clusters are sharded
	rekeyed  []bson.D // the shard key's fields, set for each document

	// alike are ids that are equal to those before but not the same: each
	// document is deleted, and comes again under the other one.
	alike []any
}

func decimal(s string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		panic(err)
	}
	return d
}

// nested is a document so deep that the one that holds it has that many levels.
func nested(levels int) bson.D {
	d := bson.D{{"bottom", 1}}
	for range levels - 2 {
		d = bson.D{{"d", d}}
	}
	return d
}

// filling is a body with which a document of the _id 1 takes exactly 16 MiB.
func filling() bson.D {
	b, err := bson.Marshal(bson.D{{"_id", int32(1)}, {"data", ""}, {"x", int32(1)}})
	if err != nil {
		panic(err)
	}
	return bson.D{{"data", strings.Repeat("f", 16<<20-len(b))}}
}

var (
	twins  = []any{"same", "same"}
	oddOID = bson.ObjectID{1, 2, 3, 11: 9}
	byK    = bson.D{{"k", 1}}
	halves = func(v ...any) (all []bson.D) {
		for _, k := range v {
			all = append(all, bson.D{{"k", k}})
		}
		return all
	}
)

// documentRows are in docs/GUARANTEES.md too.
var documentRows = []documentRow{
	{name: "_id: numbers of each type", ids: []any{
		int32(1), int64(1) << 53, int64(1)<<53 + 1, 0.5, math.Inf(1), math.Inf(-1), decimal("0.10"), decimal("1E+400"), decimal("9007199254740995"),
	}},
	{name: "_id: texts", ids: []any{"", "a", "A", "1", "a.b", "$a", "NaN", "\u00e9", "e\u0301", "z\x00y", strings.Repeat("long", 1000), bson.Symbol("s"), bson.JavaScript("x")}},
	{name: "_id: embedded documents, whose order counts", ids: []any{
		bson.D{{"a", 1}, {"b", 2}}, bson.D{{"b", 2}, {"a", 1}}, bson.D{}, bson.D{{"a", bson.D{{"b", 1}}}}, bson.D{{"a", nil}}, bson.D{{"a", bson.A{1, bson.D{}}}},
	}},
	{name: "_id: everything else", ids: []any{
		bson.Binary{Data: []byte{1}},
		bson.Binary{Subtype: 2, Data: []byte{1}},
		bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		bson.Binary{Subtype: 0x80, Data: []byte{}},
		oddOID, true, false, bson.DateTime(0), bson.DateTime(-1), nil,
		bson.Timestamp{T: 1, I: 2},
		bson.Timestamp{},
		bson.MinKey{},
		bson.MaxKey{},
		bson.CodeWithScope{Code: "x", Scope: bson.D{}},
		bson.DBPointer{DB: "d.c", Pointer: oddOID},
	}},
	{name: "_id: NaN", ids: []any{math.NaN()}, alike: []any{decimal("NaN")}},
	{name: "_id: -0.0", ids: []any{math.Copysign(0, -1)}, alike: []any{0.0}},
	{name: "_id: equal in value, of other types and bytes", ids: []any{int32(1), decimal("2.0"), 3.0, decimal("-0")}, alike: []any{1.0, decimal("2.00"), int64(3), int32(0)}},
	{name: "_id: embedded documents equal in value", ids: []any{bson.D{{"a", 1}}}, alike: []any{bson.D{{"a", decimal("1.0")}}}},
	{name: "_id: equal under a collation", ids: []any{"straße", "b", bson.D{{"t", "x"}}}, alike: []any{"STRASSE", "B", bson.D{{"t", "X"}}}, collated: true},
	{name: "mixed types in one collection", ids: upToAny(14), bodies: []bson.D{
		{{"v", int32(1)}},
		{{"v", int64(1)}},
		{{"v", 1.0}},
		{{"v", decimal("1.0")}},
		{{"v", "1"}},
		{{"v", true}},
		{{"v", nil}},
		{},
		{{"v", bson.D{{"v", 1}}}},
		{{"v", bson.A{1, "1"}}},
		{{"v", oddOID}},
		{{"v", bson.DateTime(1)}},
		{{"v", bson.MinKey{}}},
		{{"v", bson.MaxKey{}}},
	}},
	{name: "numbers whose bytes count", bodies: []bson.D{
		{{"zero", math.Copysign(0, -1)}, {"nan", math.Float64frombits(0x7ff8000000000123)}},
		{{"d", decimal("1.10")}, {"e", decimal("1.1")}, {"n", decimal("-NaN")}, {"i", decimal("-Infinity")}},
		{{"a", int64(1)}, {"b", 1.0}, {"c", math.MaxFloat64}, {"l", int64(math.MinInt64)}},
	}},
	{name: "duplicate field names", bodies: []bson.D{{{"a", 1}, {"a", "b"}}, {{"in", bson.D{{"y", 1}, {"y", int64(2)}}}}, {{"a", 1}, {"b", 1}, {"a", bson.D{}}}}},
	{name: "empty field names", bodies: []bson.D{{{"", 1}}, {{"in", bson.D{{"", bson.D{{"", 2}}}}}}, {{"a", bson.A{bson.D{{"", nil}}}}}}},
	{name: "dots and numbers in field names", bodies: []bson.D{{{"a.b", 1}, {"a", bson.D{{"b.c", 2}, {"b", bson.D{{"c", 3}}}}}}, {{"0", 3}, {"1.0", 4}}, {{"list", bson.A{bson.D{{"0", 1}}}}}}},
	{name: "dollars in field names", bodies: []bson.D{{{"$set", 1}, {"y", bson.D{{"$inc", 2}}}}, {{"$v", 2}, {"diff", bson.D{{"u", bson.D{{"x", 1}}}}}}, {{"n", bson.D{{"$ref", "c"}, {"$id", 1}}}, {"op", "u"}}}},
	{name: "deprecated types", bodies: []bson.D{
		{{"u", bson.Undefined{}}, {"s", bson.Symbol("s")}},
		{{"c", bson.CodeWithScope{Code: "x", Scope: bson.D{{"y", 1}}}}, {"p", bson.DBPointer{DB: "d", Pointer: oddOID}}},
		{{"b", bson.Binary{Subtype: 2, Data: []byte("old")}}, {"v", bson.Binary{Subtype: 3, Data: make([]byte, 16)}}},
	}},
	{name: "regular expressions, arrays of arrays, least and greatest", bodies: []bson.D{
		{{"re", bson.Regex{Pattern: "^a", Options: "im"}}}, {{"list", bson.A{bson.A{}, bson.D{}, nil, bson.A{bson.A{1}}}}}, {{"lo", bson.MinKey{}}, {"hi", bson.MaxKey{}}},
	}},
	{name: "Timestamp(0, 0) inside", bodies: []bson.D{{{"in", bson.D{{"ts", bson.Timestamp{}}}}}, {{"list", bson.A{bson.Timestamp{}}}}}},
	{name: "Timestamp(0, 0) on top", bodies: []bson.D{{{"ts", bson.Timestamp{}}}}, since: "8.0"},
	{name: "100 levels deep", bodies: []bson.D{{{"deep", nested(100)}}}},
	{name: "exactly 16 MiB", ids: []any{int32(1)}, bodies: []bson.D{filling()}, full: true},
	{name: "a shard key that is missing, null or of another type", ids: upToAny(6), bodies: []bson.D{
		{}, {{"k", nil}}, {{"k", "s"}}, {{"k", decimal("1.0")}}, {{"k", bson.D{{"y", 1}}}}, {{"k", math.NaN()}},
	}, key: byK},
	{name: "a nested shard key", bodies: []bson.D{{{"n", bson.D{{"k", 1}}}}, {{"n", bson.D{{"k", "s"}, {"y", 1}}}}, {{"n", nil}}}, key: bson.D{{"n.k", 1}}},
	{name: "a hashed shard key", bodies: []bson.D{{{"k", 1}}, {{"k", 1.5}}, {}}, key: bson.D{{"k", "hashed"}}},
	{name: "a compound hashed shard key", bodies: []bson.D{{{"k", 1}, {"h", "a"}}, {{"k", nil}, {"h", 1.0}}, {{"h", bson.D{}}}}, key: bson.D{{"k", 1}, {"h", "hashed"}}},
	{name: "a shard key that changes in place", bodies: halves(1, 2, 80), key: byK, rekeyed: halves(3, "s", 81)},
	{name: "a shard key that changes across shards", bodies: halves(1, 2, 80), key: byK, rekeyed: halves(80, 81, 1)},
	{name: "a nested shard key that changes", bodies: []bson.D{{{"n", bson.D{{"k", 1}, {"y", 1}}}}, {{"n", bson.D{{"k", 80}}}}}, key: bson.D{{"n.k", 1}}, rekeyed: []bson.D{{{"n.k", 80}}, {{"n.k", nil}}}},
	{name: "the same _id on two shards", ids: twins, bodies: halves(1, 80), key: byK, both: true},
}

func upToAny(n int) (all []any) {
	for i := range n {
		all = append(all, int32(i))
	}
	return all
}

// there reports whether a row is possible between two clusters.
func (r documentRow) there(set setting) bool {
	return set.srcVersion >= r.since && (!r.both || set.srcShards > 0 && set.dstShards > 0)
}

// docs are the documents of a row.
func (r documentRow) docs() (all []bson.D) {
	ids, bodies := r.ids, r.bodies
	if bodies == nil {
		bodies = []bson.D{{{"a", 1}}, {{"b", bson.D{{"c", "d"}}}}, {}}
	}
	if ids == nil {
		ids = upToAny(max(3, len(bodies)))
	}
	for i, id := range ids {
		d := append(bson.D{{"_id", id}}, bodies[i%len(bodies)]...)
		all = append(all, append(d, bson.E{Key: "x", Value: int32(1)}))
	}
	return all
}

// shardKey is that of the row's collections on a sharded source, nil if they are not
// sharded.
func (r documentRow) shardKey() bson.D {
	switch {
	case r.collated:
		return nil
	case r.key == nil:
		return bson.D{{"_id", "hashed"}}
	}
	return r.key
}

// find is the query for a document by its _id and its shard key.
func (r documentRow) find(doc bson.D) bson.D {
	b, err := bson.Marshal(doc)
	if err != nil {
		panic(err)
	}
	q := bson.D{{"_id", bson.D{{"$eq", doc[0].Value}}}}
	for _, e := range r.key {
		v, err := bson.Raw(b).LookupErr(strings.Split(e.Key, ".")...)
		if err != nil {
			q = append(q, bson.E{Key: e.Key, Value: nil})
			continue
		}
		q = append(q, bson.E{Key: e.Key, Value: bson.D{{"$eq", v}}})
	}
	return q
}

// coll names the row's collections: one whose documents are copied, and one whose
// documents are streamed.
func coll(row int, streamed bool) string {
	if streamed {
		return fmt.Sprintf("streamed%d", row)
	}
	return fmt.Sprintf("copied%d", row)
}
