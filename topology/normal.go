package topology

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// normalIndex returns an index specification in one fixed form: options sorted
// by name, numbers as doubles, what says nothing left out. The fields of the key
// keep their order, which has a meaning.
func normalIndex(spec bson.Raw) bson.Raw {
	elems, err := spec.Elements()
	if err != nil {
		return spec
	}
	out := bson.D{}
	for _, e := range elems {
		switch e.Key() {
		case "ns", "background", "v":
			continue
		case "key":
			out = append(out, bson.E{Key: e.Key(), Value: normalNumbers(e.Value().Document())})
			continue
		}
		if b, ok := e.Value().BooleanOK(); ok && !b {
			continue
		}
		if e.Key() == "collation" && !collated(spec) {
			continue
		}
		out = append(out, bson.E{Key: e.Key(), Value: normalValue(e.Value())})
	}
	slices.SortFunc(out, func(a, b bson.E) int { return cmp.Compare(a.Key, b.Key) })
	return mustMarshal(out)
}

// NormalOptions returns collection options in one fixed form: sorted by name,
// numbers as doubles, and without what differs between equal collections.
func NormalOptions(options bson.Raw) bson.Raw {
	elems, err := options.Elements()
	if err != nil {
		return options
	}
	out := bson.D{}
	for _, e := range elems {
		switch e.Key() {
		case "uuid", "autoIndexId", "flags", "storageEngine", "temp":
			continue
		}
		out = append(out, bson.E{Key: e.Key(), Value: normalValue(e.Value())})
	}
	slices.SortFunc(out, func(a, b bson.E) int { return cmp.Compare(a.Key, b.Key) })
	return mustMarshal(out)
}

func normalNumbers(doc bson.Raw) bson.Raw {
	return rewrite(doc, func(e bson.RawElement) (any, bool) { return normalValue(e.Value()), true })
}

func normalValue(v bson.RawValue) any {
	if f, ok := v.AsFloat64OK(); ok {
		return f
	}
	if d, ok := v.DocumentOK(); ok {
		return normalNumbers(d)
	}
	return v
}
