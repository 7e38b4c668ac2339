package shardworker_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
)

// oddIDs are values of every type that an _id may have, and neighbours that are
// easily taken for each other.
func oddIDs(t *testing.T) []any {
	t.Helper()
	dec := func(s string) bson.Decimal128 {
		d, err := bson.ParseDecimal128(s)
		require.NoError(t, err)
		return d
	}
	oid := bson.NewObjectID()
	return []any{
		int32(1), int64(1) << 53, int64(1)<<53 + 1, 0.5, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1),
		dec("0.10"), dec("1E+400"), dec("9007199254740995"),
		"", "a", "A", "1", "a.b", "$a", "NaN", "\u00e9", "e\u0301",
		bson.D{{"a", 1}, {"b", 2}},
		bson.D{{"b", 2}, {"a", 1}},
		bson.D{},
		bson.D{{"a", bson.D{{"$b", 1}}}},
		bson.Binary{Subtype: 0, Data: []byte{1}},
		bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		bson.Binary{Subtype: 0x80, Data: []byte{}},
		oid, true, false, bson.DateTime(0), bson.DateTime(-1), nil,
		bson.Timestamp{T: 1, I: 2},
		bson.Timestamp{},
		bson.MinKey{},
		bson.MaxKey{},
		bson.JavaScript("x"),
		bson.CodeWithScope{Code: "x", Scope: bson.D{}},
		bson.Symbol("s"),
		bson.DBPointer{DB: "d.c", Pointer: oid},
	}
}

// oddBodies are fields beside the _id that easily change on the way.
func oddBodies() []bson.D {
	deep := any(1)
	for range 95 {
		deep = bson.D{{"d", deep}}
	}
	return []bson.D{
		{{"a", 1}, {"a", 2}},
		{{"", 1}, {"x", bson.D{{"", bson.D{{"", 2}}}}}},
		{{"a.b", 1}, {"a", bson.D{{"b.c", 2}}}, {"0", 3}},
		{{"$set", 1}, {"x", bson.D{{"$inc", 2}}}},
		{{"$v", 2}, {"diff", bson.D{{"u", bson.D{{"x", 1}}}}}},
		{{"n", bson.D{{"$v", 1}, {"$ref", 1}}}, {"op", "u"}},
		{{"u", bson.Undefined{}}, {"s", bson.Symbol("s")}, {"c", bson.CodeWithScope{Code: "x", Scope: bson.D{{"y", 1}}}}, {"p", bson.DBPointer{DB: "d"}}},
		{{"ts", bson.Timestamp{}}, {"in", bson.D{{"ts", bson.Timestamp{}}}}, {"list", bson.A{bson.Timestamp{}}}},
		{{"z", 1}, {"y", int64(1)}, {"x", 1.0}, {"w", math.NaN()}, {"v", math.Copysign(0, -1)}, {"r", bson.Regex{Pattern: "a", Options: "im"}}},
		{{"deep", deep}},
		{{"list", bson.A{bson.A{}, bson.D{}, nil, bson.A{bson.A{1}}}}, {"min", bson.MinKey{}}, {"max", bson.MaxKey{}}},
	}
}

// Whatever a document is made of, it is on the destination byte for byte: copied
// or streamed, changed by operators and pipelines, replaced and deleted.
func TestOddDocumentsComeThrough(t *testing.T) {
	for _, shape := range [][2]int{{0, 0}, {2, 2}, {0, 2}, {2, 0}} {
		t.Run(fmt.Sprintf("%d to %d", shape[0], shape[1]), func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: shape[0]}, mongotest.Options{Shards: shape[1]}, func(t *testing.T, p *pair) {
				keys := [2]bson.D{{{"_id", "hashed"}}, {{"_id", "hashed"}}}
				for i := range keys {
					if shape[i] == 0 {
						keys[i] = nil
					}
				}
				c := p.create(orders, keys[0], keys[1])
				coll := p.from.Database(orders.DB).Collection(orders.Coll)
				ids, bodies := oddIDs(t), oddBodies()
				insert := func(id any, body bson.D) {
					_, err := coll.InsertOne(t.Context(), append(bson.D{{"_id", id}}, body...))
					require.NoError(t, err, "%v %v", id, body)
				}
				for i, id := range ids {
					if i%2 == 0 {
						insert(id, bodies[i%len(bodies)])
					}
				}
				l := p.newLead(map[shardferry.UUID]shardferry.Collection{c.UUID: c}, p.tasks(c, keys[0]))
				stop := p.work(l, small)
				time.Sleep(time.Second)
				for i, id := range ids {
					if i%2 == 1 {
						insert(id, bodies[i%len(bodies)])
					}
				}
				time.Sleep(time.Second)
				assert.Equal(t, len(ids), p.settled(l))
				for i, id := range ids {
					p.changeOddly(coll, i, id, bodies)
				}
				assert.Equal(t, len(ids)-len(ids)/7, p.settled(l))
				stop()
			})
		})
	}
}

func (p *pair) settled(l *lead) int {
	p.t.Helper()
	p.settle(l)
	return p.requireEqual(orders)
}

// changeOddly changes one document in one of seven ways; the last one deletes it.
func (p *pair) changeOddly(coll *mongo.Collection, i int, id any, bodies []bson.D) {
	p.t.Helper()
	ctx, q := p.t.Context(), bson.D{{"_id", bson.D{{"$eq", id}}}}
	var n int64
	var err error
	update := func(u any) {
		var res *mongo.UpdateResult
		if res, err = coll.UpdateOne(ctx, q, u); err == nil {
			n = res.MatchedCount
		}
	}
	switch i % 7 {
	case 0:
		update(bson.D{{"$set", bson.D{{"new", i}, {"x.k", 1}}}})
		if err != nil { // x is no document here
			update(bson.D{{"$set", bson.D{{"new", i}}}})
		}
	case 1:
		update(bson.A{bson.D{{"$set", bson.D{{"zz", 1}, {"aa", bson.D{{"b", i}}}}}}, bson.D{{"$unset", "x"}}})
	case 2:
		update(bson.D{{"$unset", bson.D{{"a", ""}}}, {"$push", bson.D{{"added", i}}}})
	case 3:
		update(bson.A{bson.D{{"$replaceWith", bson.D{{"_id", "$_id"}, {"b", i}, {"a", bson.D{{"$literal", bson.D{{"$x", 1}}}}}}}}})
	case 4:
		update(bson.A{bson.D{{"$set", bson.D{{"dotted", bson.D{{"$setField", bson.D{{"field", "p.q"}, {"input", bson.D{}}, {"value", i}}}}}}}}})
	case 5:
		var res *mongo.UpdateResult
		body := append(bson.D{{"replaced", i}}, bodies[(i+8)%len(bodies)]...)
		if body[1].Key == "$set" || body[1].Key == "$v" {
			body = body[:1]
		}
		if res, err = coll.ReplaceOne(ctx, q, body); err == nil {
			n = res.MatchedCount
		}
	case 6:
		var res *mongo.DeleteResult
		if res, err = coll.DeleteOne(ctx, q); err == nil {
			n = res.DeletedCount
		}
	}
	require.NoError(p.t, err, "%d: %v", i, id)
	require.Equal(p.t, int64(1), n, "%d: %v", i, id)
}
