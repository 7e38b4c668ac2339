package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// canonical returns a description of a collection or an index as text that is
// the same for the same meaning: a number is a number whatever its type, and the
// order of options says nothing where any is set.
func canonical(doc bson.Raw, any bool) string {
	elems, err := doc.Elements()
	if err != nil {
		return "unreadable: " + err.Error()
	}
	parts := make([]string, 0, len(elems))
	for _, e := range elems {
		parts = append(parts, e.Key()+": "+value(e.Value()))
	}
	if any {
		slices.SortFunc(parts, cmp.Compare)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// value renders one value. The order inside is kept: in a validator or in the
// key of an index it has a meaning.
func value(v bson.RawValue) string {
	if f, ok := v.AsFloat64OK(); ok {
		return fmt.Sprint(f)
	}
	if d, ok := v.DocumentOK(); ok {
		return canonical(d, false)
	}
	if a, ok := v.ArrayOK(); ok {
		values, err := a.Values()
		if err != nil {
			return "unreadable: " + err.Error()
		}
		parts := make([]string, 0, len(values))
		for _, e := range values {
			parts = append(parts, value(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return v.String()
}

// canonicalOptions leaves out what is about one server's files.
func canonicalOptions(options bson.Raw) string {
	return canonical(without(options, func(e bson.RawElement) bool { return e.Key() == "storageEngine" }), true)
}

// canonicalIndex leaves out what older servers wrote into a specification and
// no server looks at: the namespace, and how it was built. An option that is
// false is as good as none.
func canonicalIndex(spec bson.Raw) string {
	return canonical(without(spec, func(e bson.RawElement) bool {
		on, isBool := e.Value().BooleanOK()
		return e.Key() == "ns" || e.Key() == "background" || e.Key() == "storageEngine" || (isBool && !on)
	}), true)
}

// without returns doc without some elements.
func without(doc bson.Raw, leave func(e bson.RawElement) bool) bson.Raw {
	elems, err := doc.Elements()
	if err != nil {
		return doc
	}
	out := bson.D{}
	for _, e := range elems {
		if !leave(e) {
			out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	b, err := bson.Marshal(out)
	if err != nil {
		return doc
	}
	return b
}
