package main

import (
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An update is a sort of update of one document, by how its change event
// describes it.
type update struct {
	name string
	make func(r *rand.Rand) any
}

func set(pairs ...any) bson.D {
	d := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return bson.D{{"$set", d}}
}

func nth(r *rand.Rand) string { return fmt.Sprintf("f%d", r.IntN(4)) }

var updates = []update{
	{"set a field", func(r *rand.Rand) any { return set("v", r.IntN(1000)) }},
	{"add fields", func(r *rand.Rand) any { return set(nth(r), r.IntN(1000), nth(r)+"x", bson.D{{"y", 1}}) }},
	{"set a nested field", func(r *rand.Rand) any { return set("n.y", r.IntN(1000), "n.new.deep."+nth(r), 1) }},
	{"unset", func(r *rand.Rand) any {
		return bson.D{{"$unset", bson.D{{nth(r), 1}, {"n.7", 1}}}, {"$inc", bson.D{{"v", 1}}}}
	}},
	{"inc, mul, min, max, bit", func(r *rand.Rand) any {
		return bson.D{{"$inc", bson.D{{"v", r.IntN(9)}}}, {"$mul", bson.D{{"mul", 2}}}, {"$min", bson.D{{"min", r.IntN(9)}}}, {"$max", bson.D{{"max", 1.5}}}, {"$bit", bson.D{{"bits", bson.D{{"or", 3}}}}}}
	}},
	{"current date", func(*rand.Rand) any {
		return bson.D{{"$currentDate", bson.D{{"at", true}, {"ts", bson.D{{"$type", "timestamp"}}}}}}
	}},
	{"rename a field", func(r *rand.Rand) any { return bson.D{{"$rename", bson.D{{"v", nth(r)}}}} }},
	{"push", func(r *rand.Rand) any { return bson.D{{"$push", bson.D{{"arr", r.IntN(9)}}}} }},
	{"push in front", func(r *rand.Rand) any {
		return bson.D{{"$push", bson.D{{"arr", bson.D{{"$each", bson.A{r.IntN(9), "x"}}, {"$position", 0}}}}}}
	}},
	{"push, sort and slice", func(r *rand.Rand) any {
		return bson.D{{"$push", bson.D{{"arr", bson.D{{"$each", bson.A{r.IntN(9), 3, 1}}, {"$sort", 1}, {"$slice", -3}}}}}}
	}},
	{"cut an array", func(r *rand.Rand) any { return bson.D{{"$pop", bson.D{{"arr", 1 - 2*r.IntN(2)}}}} }},
	{"cut an array and set in it", func(*rand.Rand) any {
		return bson.A{bson.D{{"$set", bson.D{{"arr", bson.D{{"$concatArrays", bson.A{bson.A{"first"}, bson.D{{"$slice", bson.A{bson.D{{"$ifNull", bson.A{"$arr", bson.A{}}}}, 1}}}}}}}}}}}
	}},
	{"pull", func(r *rand.Rand) any {
		return bson.D{{"$pull", bson.D{{"arr", bson.D{{"x", bson.D{{"$lt", 3 + r.IntN(7)}}}}}}}}
	}},
	{"set an element", func(r *rand.Rand) any { return set("arr."+fmt.Sprint(r.IntN(3)), bson.D{{"x", r.IntN(9)}}) }},
	{"set inside elements", func(r *rand.Rand) any { return set("arr.$[].x", r.IntN(9)) }},
	{"numeric paths", func(r *rand.Rand) any { return set("h.0", r.IntN(9), "h.01", 1, "n.7", r.IntN(9)) }},
	{"numeric path in an array", func(r *rand.Rand) any { return set("h.1.0", r.IntN(9)) }},
	{"dotted names", func(r *rand.Rand) any {
		return bson.A{bson.D{{"$replaceWith", bson.D{{"$setField", bson.D{{"field", "p.q"}, {"input", "$$ROOT"}, {"value", r.IntN(1000)}}}}}}}
	}},
	{"dollar names", func(r *rand.Rand) any {
		return bson.A{bson.D{{"$set", bson.D{{"m", bson.D{{"$setField", bson.D{{"field", bson.D{{"$literal", "$x"}}}, {"input", bson.D{{"$ifNull", bson.A{"$m", bson.D{}}}}}, {"value", r.IntN(1000)}}}}}}}}}
	}},
	{"pipeline of sets", func(r *rand.Rand) any {
		return bson.A{bson.D{{"$set", bson.D{{"v", r.IntN(1000)}, {"n", bson.D{{"x", "$n.x"}, {"y", "$v"}}}}}}, bson.D{{"$unset", bson.A{"f0", "min"}}}}
	}},
	{"a large change", func(r *rand.Rand) any { return set("large", fmt.Sprintf("%0200000d", r.IntN(9))) }},
	// Their events say the same as if each field had kept its place (docs/LIMITS.md).
	{"another order of fields", func(r *rand.Rand) any {
		return bson.A{bson.D{{"$replaceWith", bson.D{{"$mergeObjects", bson.A{bson.D{{"first" + nth(r), 1}}, "$$ROOT", bson.D{{"v", r.IntN(99)}}}}}}}}
	}},
	{"remove and add the same field", func(r *rand.Rand) any {
		return bson.A{bson.D{{"$unset", "v"}}, bson.D{{"$set", bson.D{{"v", r.IntN(1000)}}}}}
	}},
}

// usual is how many of the updates may happen at any time.
var usual = len(updates) - 2
