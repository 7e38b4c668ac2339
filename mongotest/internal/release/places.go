package release

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A place is where in a command a name stands: what it may mean depends on it.
type place int

const (
	data           place = iota // holds no operators
	query                       // in a filter
	expression                  // in an expression
	pipeline                    // an array of stages
	stage                       // the name of a stage
	facets                      // the fields of $facet
	groupFields                 // the fields of $group, or of the output of $bucket
	accumulator                 // the name of an accumulator
	bucket                      // the arguments of $bucket
	windows                     // the arguments of $setWindowFields
	windowFields                // their output
	windowFunction              // the name of a window function, beside window
)

// below says what stands under a name; under one that is not listed comes what
// is listed under the empty name.
var below = map[place]map[string]place{
	query:          {"$expr": expression, "": query},
	expression:     {"$literal": data, "pipeline": pipeline, "": expression},
	stage:          {"$match": query, "$group": groupFields, "$bucket": bucket, "$bucketAuto": bucket, "$facet": facets, "$setWindowFields": windows, "": expression},
	facets:         {"": pipeline},
	groupFields:    {"_id": expression, "": accumulator},
	accumulator:    {"": expression},
	bucket:         {"output": groupFields, "": expression},
	windows:        {"output": windowFields, "": expression},
	windowFields:   {"": windowFunction},
	windowFunction: {"": expression},
}

func (p place) under(name string) place {
	if next, ok := below[p][name]; ok {
		return next
	}
	return below[p][""]
}

// value walks through what stands in a place.
func (v Version) value(at place, x bson.RawValue) error {
	switch {
	case at == data, x.Type != bson.TypeArray && x.Type != bson.TypeEmbeddedDocument:
		return nil
	case at == pipeline && x.Type == bson.TypeEmbeddedDocument:
		return nil // an update that is no pipeline
	case at == pipeline:
		at = stage
	}
	for name, inner := range value.Elements(x.Value) {
		next := at
		if x.Type != bson.TypeArray {
			if err := v.check(at, name); err != nil {
				return err
			}
			next = at.under(name)
		}
		if err := v.value(next, inner); err != nil {
			return err
		}
	}
	return nil
}
