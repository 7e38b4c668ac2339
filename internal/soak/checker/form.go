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

// canonicalIndex leaves out what older servers wrote into a specification and
// no server looks at: the namespace, and how it was built. An option that is
// false is as good as none.
func canonicalIndex(spec bson.Raw) string {
	elems, err := spec.Elements()
	if err != nil {
		return "unreadable: " + err.Error()
	}
	out := bson.D{}
	for _, e := range elems {
		no, isBool := e.Value().BooleanOK()
		if e.Key() == "ns" || e.Key() == "background" || (isBool && !no) {
			continue
		}
		out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
	}
	b, err := bson.Marshal(out)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return canonical(b, true)
}
