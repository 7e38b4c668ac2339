package topology

import (
	"bytes"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Servers keep index specifications of their predecessors, which took almost any
// value in them, and take them no more. What they mean is settled: a direction
// that is no number, or 0, is ascending; an option that is set at all is true; and
// nothing expires by an age that is no number.
// Source: mongo-tools, common/bsonutil/indexes.go.

// current returns an index specification of a server in the form that servers
// take now.
func current(spec bson.Raw) bson.Raw {
	return rewrite(spec, func(e bson.RawElement) (any, bool) {
		v := e.Value()
		switch e.Key() {
		case "key":
			if key, ok := v.DocumentOK(); ok {
				return currentKey(key), true
			}
		case "v":
			n, ok := v.AsInt64OK()
			return v, !ok || n > 0
		case "dropDups":
			return nil, false
		case "unique", "sparse", "hidden", "prepareUnique":
			if v.Type != bson.TypeBoolean && !v.IsNumber() {
				return v.Type != bson.TypeNull && v.Type != bson.TypeUndefined, true
			}
		case "expireAfterSeconds":
			f, ok := v.AsFloat64OK()
			if math.IsNaN(f) {
				return int32(math.MaxInt32), true
			}
			return v, ok
		}
		return v, true
	})
}

// currentKey gives every field of a key pattern a direction or the name of a kind
// of index.
func currentKey(key bson.Raw) bson.Raw {
	return rewrite(key, func(e bson.RawElement) (any, bool) {
		v := e.Value()
		if name, ok := v.StringValueOK(); ok && name != "" {
			return v, true
		}
		if f, ok := v.AsFloat64OK(); !ok || f == 0 || math.IsNaN(f) {
			return int32(1), true
		}
		return v, true
	})
}

// distinctKeys leaves out those that in the current form say the same as another
// one, but for the name: a server takes only one of them.
func distinctKeys(was, specs []bson.Raw) []bson.Raw {
	bare := func(spec bson.Raw) []byte {
		return normalIndex(rewrite(spec, func(e bson.RawElement) (any, bool) { return e.Value(), e.Key() != "name" }))
	}
	var out []bson.Raw
	for i, spec := range specs {
		again := false
		for j, other := range specs {
			legacy := !bytes.Equal(was[i], spec)
			first := bytes.Equal(was[j], other) || j < i
			again = again || (i != j && legacy && first && bytes.Equal(bare(spec), bare(other)))
		}
		if !again {
			out = append(out, spec)
		}
	}
	return out
}
