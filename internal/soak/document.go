package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An idKind is a sort of _id. Few values of each, so that they meet again.
type idKind struct {
	name string
	make func(r *rand.Rand) any
}

// A bodyKind is a sort of document: fields that are added to the plain ones.
type bodyKind struct {
	name  string
	rare  bool // it costs much
	needs func(p *Plan) bool
	make  func(r *rand.Rand) bson.D
}

func small(r *rand.Rand) int { return r.IntN(6) }

var idKinds = []idKind{
	{"int32", func(r *rand.Rand) any { return int32(small(r)) }},
	{"int64", func(r *rand.Rand) any { return int64(small(r)) }},
	{"int64 above 2^53", func(r *rand.Rand) any { return int64(1)<<53 + int64(small(r)) }},
	{"double that is an integer", func(r *rand.Rand) any { return float64(small(r)) }},
	{"double", func(r *rand.Rand) any { return float64(small(r)) + 0.5 }},
	{"-0.0", func(*rand.Rand) any { return math.Copysign(0, -1) }},
	{"NaN", func(*rand.Rand) any { return math.NaN() }},
	{"infinity", func(r *rand.Rand) any { return math.Inf(1 - 2*r.IntN(2)) }},
	{"Decimal128, equal in value", func(r *rand.Rand) any { return decimal(one(r, "1", "1.0", "1.00", "0", "-0", "0E+3")) }},
	{"Decimal128 NaN", func(*rand.Rand) any { return decimal("NaN") }},
	{"Decimal128 beside a double", func(r *rand.Rand) any { return decimal(one(r, "0.1", "0.5", "1.5")) }},
	{"string", func(r *rand.Rand) any { return "id" + strconv.Itoa(small(r)) }},
	{"string, equal under a collation", func(r *rand.Rand) any { return one(r, "straße", "STRASSE", "Straße", "strasse") }},
	{"empty string", func(*rand.Rand) any { return "" }},
	{"string with a zero byte", func(r *rand.Rand) any { return "a\x00" + strconv.Itoa(small(r)) }},
	{"long string", func(r *rand.Rand) any { return strings.Repeat(strconv.Itoa(small(r)), 3000) }},
	{"embedded document", func(r *rand.Rand) any { return bson.D{{"a", int32(small(r))}, {"b", "x"}} }},
	{"embedded document, order and types", func(r *rand.Rand) any {
		return one(r, bson.D{{"a", 1}, {"b", 2}}, bson.D{{"b", 2}, {"a", 1}}, bson.D{{"a", 1.0}, {"b", int64(2)}})
	}},
	{"empty document", func(*rand.Rand) any { return bson.D{} }},
	{"ObjectID", func(r *rand.Rand) any { return bson.ObjectID{11: byte(small(r))} }},
	{"binary", func(r *rand.Rand) any {
		return bson.Binary{Subtype: one(r, byte(0), 2, 4, 128), Data: []byte{byte(small(r)), 15: 1}}
	}},
	{"date", func(r *rand.Rand) any { return bson.DateTime(int64(small(r))*1000 - 2000) }},
	{"boolean", func(r *rand.Rand) any { return r.IntN(2) == 0 }},
	{"null", func(*rand.Rand) any { return nil }},
	{"MinKey and MaxKey", func(r *rand.Rand) any { return one[any](r, bson.MinKey{}, bson.MaxKey{}) }},
	{"timestamp", func(r *rand.Rand) any { return bson.Timestamp{T: uint32(small(r)), I: 1} }},
	{"JavaScript", func(r *rand.Rand) any { return bson.JavaScript("f" + strconv.Itoa(small(r)) + "()") }},
	{"symbol", func(r *rand.Rand) any { return bson.Symbol("id" + strconv.Itoa(small(r))) }},
	{"DBPointer", func(r *rand.Rand) any { return bson.DBPointer{DB: "a.b", Pointer: bson.ObjectID{11: byte(small(r))}} }},
}

func decimal(s string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		panic(err)
	}
	return d
}

var bodyKinds = []bodyKind{
	{name: "plain", make: func(*rand.Rand) bson.D { return nil }},
	{name: "duplicate names", make: func(r *rand.Rand) bson.D {
		return bson.D{{"twice", 1}, {"twice", "b"}, {"in", bson.D{{"x", 1}, {"x", int64(r.IntN(9))}}}}
	}},
	{name: "empty names", make: func(*rand.Rand) bson.D { return bson.D{{"", "empty"}, {"e", bson.D{{"", 1}}}} }},
	{name: "dotted names", make: func(*rand.Rand) bson.D { return bson.D{{"p.q", 1}, {"d", bson.D{{"x.y", 2}, {"x", bson.D{{"y", 3}}}}}} }},
	{name: "dollar names", make: func(*rand.Rand) bson.D { return bson.D{{"m", bson.D{{"$x", 1}, {"$set", bson.D{{"a", 1}}}}}} }},
	{name: "numeric names", make: func(*rand.Rand) bson.D { return bson.D{{"h", bson.D{{"0", "a"}, {"1", bson.A{1, 2}}, {"01", 3}}}} }},
	{name: "deprecated types", make: func(*rand.Rand) bson.D {
		return bson.D{
			{"u", bson.Undefined{}},
			{"s", bson.Symbol("s")},
			{"p", bson.DBPointer{DB: "d.c", Pointer: bson.ObjectID{1}}},
			{"js", bson.CodeWithScope{Code: "f()", Scope: bson.D{{"a", 1}}}},
		}
	}},
	{name: "odd numbers", make: func(*rand.Rand) bson.D {
		return bson.D{{"z", math.Copysign(0, -1)}, {"nan", math.Float64frombits(0x7ff8000000000123)}, {"d", decimal("1.10")}, {"dn", decimal("-NaN")}, {"i", math.Inf(-1)}}
	}},
	{name: "an empty timestamp inside", make: func(*rand.Rand) bson.D {
		return bson.D{{"in", bson.D{{"ts", bson.Timestamp{}}}}, {"list", bson.A{bson.Timestamp{}}}}
	}},
	{name: "an empty timestamp on top", needs: func(p *Plan) bool { return !p.before("8") }, make: func(*rand.Rand) bson.D {
		return bson.D{{"ts", bson.Timestamp{}}, {"after", 1}}
	}},
	{name: "MinKey and MaxKey", make: func(*rand.Rand) bson.D { return bson.D{{"lo", bson.MinKey{}}, {"hi", bson.MaxKey{}}} }},
	{name: "deep", make: func(r *rand.Rand) bson.D {
		d := bson.D{{"bottom", r.IntN(9)}}
		for range 95 {
			d = bson.D{{"d", d}}
		}
		return d
	}},
	{name: "many fields", make: func(r *rand.Rand) bson.D {
		d := bson.D{}
		for i := range 200 {
			d = append(d, bson.E{Key: "f" + strconv.Itoa(i), Value: r.IntN(100)})
		}
		return d
	}},
	{name: "a long array", make: func(r *rand.Rand) bson.D {
		a := bson.A{}
		for range 120 {
			a = append(a, int32(r.IntN(9)))
		}
		return bson.D{{"long", a}}
	}},
	{name: "arrays of arrays", make: func(*rand.Rand) bson.D {
		return bson.D{{"aa", bson.A{bson.A{1, bson.A{}}, bson.D{}, bson.D{{"x", bson.A{bson.D{{"y", 1}}}}}}}}
	}},
	{name: "a regular expression, binary and UUID", make: func(*rand.Rand) bson.D {
		return bson.D{{"re", bson.Regex{Pattern: "^a", Options: "im"}}, {"bin", bson.Binary{Subtype: 2, Data: []byte("old")}}, {"uuid", bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}
	}},
	{name: "large", make: func(r *rand.Rand) bson.D {
		return bson.D{{"large", strings.Repeat(string(rune('a'+r.IntN(5))), 100_000+r.IntN(200_000))}}
	}},
	{name: "a point", make: func(r *rand.Rand) bson.D {
		return bson.D{{"place", bson.D{{"type", "Point"}, {"coordinates", bson.A{float64(r.IntN(50)), float64(r.IntN(50))}}}}, {"flat", bson.A{1.5, float64(r.IntN(9))}}}
	}},
	{name: "words", make: func(r *rand.Rand) bson.D {
		return bson.D{{"words", "the quick fox no. " + strconv.Itoa(r.IntN(9))}, {"language", one(r, "english", "none")}}
	}},
	{name: "a date that will not expire", make: func(*rand.Rand) bson.D {
		return bson.D{{"expires", bson.NewDateTimeFromTime(time.Now().Add(1000 * time.Hour))}}
	}},
	{name: "a shard key that is null", make: func(*rand.Rand) bson.D { return bson.D{{"k", nil}} }},
	{name: "a shard key that is missing", make: func(*rand.Rand) bson.D { return bson.D{{"k", missing{}}} }},
	{name: "a shard key of another type", make: func(r *rand.Rand) bson.D {
		return bson.D{{"k", one[any](r, "s", 1.0, int64(1), decimal("1"), bson.D{{"x", 1}}, math.NaN(), math.Copysign(0, -1))}}
	}},
	{name: "exactly 16 MiB", rare: true, make: func(*rand.Rand) bson.D { return bson.D{{"fill", full{}}} }},
}

// missing takes a plain field out, full fills the document up.
type (
	missing struct{}
	full    struct{}
)

const maxDocument = 16 << 20

// document draws one: its _id, what every document has, and what its kind adds.
func (w *world) document(r *rand.Rand) bson.D {
	kind := one(r, w.plan.IDs...)
	body := one(r, w.plan.Bodies...)
	w.tally.add("_id", kind.name)
	w.tally.add("document", body.name)
	id := kind.make(r)
	if strings.HasPrefix(body.name, "a shard key") {
		id = w.unique(body.name) // no other document of this _id may come to another shard
	}
	d := w.simple(r, id)
	for _, e := range body.make(r) {
		at := indexOf(d, e.Key)
		switch e.Value.(type) {
		case missing:
			d = append(d[:at:at], d[at+1:]...)
		case full:
			d = fill(d)
		default:
			if at >= 0 && e.Key == "k" {
				d[at].Value = e.Value
				continue
			}
			d = append(d, e)
		}
	}
	return d
}

// simple is what every document has.
func (w *world) simple(r *rand.Rand, id any) bson.D {
	home := homeOf(id)
	return bson.D{
		{"_id", id},
		{"k", int32(home % 10)},
		{"v", int32(r.IntN(1000))},
		{"n", bson.D{{"x", int32(home % 4)}, {"7", "seven"}}},
		{"arr", numbers(r)},
	}
}

// homeOf gives equal ids the same shard key, so that no two documents of one _id
// come to be on two shards: many a destination cannot hold both. Where that is
// wanted a step sees to it.
func homeOf(id any) uint32 {
	b, err := bson.Marshal(bson.D{{"_id", id}})
	if err != nil {
		panic(err)
	}
	v := bson.Raw(b).Lookup("_id")
	t, data := v.Type, v.Value
	text := fmt.Sprint(t) + string(data)
	switch {
	case v.IsNumber():
		f, _ := v.AsFloat64OK()
		if d, ok := v.Decimal128OK(); ok {
			f, _ = strconv.ParseFloat(d.String(), 64)
		}
		text = fmt.Sprint(math.Abs(f)) // -0.0 is 0
	case t == bson.TypeString || t == bson.TypeSymbol:
		text = string(data) // they are equal
	case t == bson.TypeEmbeddedDocument:
		text = "document" // 1 and 1.0 are equal inside too
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return h.Sum32()
}

// unique returns an _id that no other document has.
func (w *world) unique(what string) string { return fmt.Sprintf("%s %d", what, w.last.Add(1)) }

func indexOf(d bson.D, name string) int {
	for i := range d {
		if d[i].Key == name {
			return i
		}
	}
	return -1
}

func fill(d bson.D) bson.D {
	b, err := bson.Marshal(append(d, bson.E{Key: "fill", Value: ""}))
	if err != nil {
		panic(err)
	}
	return append(d, bson.E{Key: "fill", Value: strings.Repeat("f", maxDocument-len(b))})
}

func numbers(r *rand.Rand) bson.A {
	a := bson.A{}
	for range r.IntN(5) {
		a = append(a, bson.D{{"x", int32(r.IntN(9))}})
	}
	return a
}

func one[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
