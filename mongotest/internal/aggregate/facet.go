package aggregate

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// facetable reports whether a stage may be in a $facet: not those that must
// come first or last.
func facetable(name string) bool {
	switch name {
	case "$facet", "$out", "$merge", "$documents":
		return false
	}
	return !firstOnly(name)
}

func notInFacet(name string) error {
	return mongoerr.New(40600, "%s is not allowed to be used within a $facet stage", name)
}

// facetPipeline reads one pipeline of a $facet.
func facetPipeline(v bson.RawValue) ([]bson.Raw, error) {
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(40170, "arguments to $facet must be arrays, found: %s", typeName(v))
	}
	var out []bson.Raw
	for _, s := range value.Elements(v.Value) {
		if s.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(40171, "elements of arrays in $facet spec must be non-empty objects, found: %s", rawdoc.Render(s))
		}
		if n, _, _ := rawdoc.First(s.Value); !facetable(n) {
			return nil, notInFacet(n)
		}
		out = append(out, s.Value)
	}
	return out, nil
}

// checkFieldName refuses what cannot be the name of one field.
func checkFieldName(name string) error {
	if strings.Contains(name, ".") {
		return mongoerr.New(16412, "FieldPath field names may not contain '.'. Consider using $getField or $setField.")
	}
	return checkPath([]string{name})
}

func compileFacet(spec bson.RawValue, env Env) (stage, error) {
	if spec.Type != bson.TypeEmbeddedDocument || value.IsEmpty(spec.Value) {
		return nil, mongoerr.New(40169, "the $facet specification must be a non-empty object")
	}
	env.inFacet = true
	var names []string
	var pipes []*Pipeline
	for k, v := range value.Elements(spec.Value) {
		if err := checkFieldName(k); err != nil {
			return nil, err
		}
		stages, err := facetPipeline(v)
		if err != nil {
			return nil, err
		}
		p, err := CompilePipeline(stages, env)
		if err != nil {
			return nil, err
		}
		names, pipes = append(names, k), append(pipes, p)
	}
	return gathered(func(ctx context.Context, docs []bson.Raw) ([]bson.Raw, error) {
		var b rawdoc.Builder
		for i, p := range pipes {
			found, err := Collect(ctx, p.Run(FromSlice(docs)))
			if err != nil {
				return nil, err
			}
			b.Add(names[i], docArray(found))
		}
		return []bson.Raw{b.Bytes()}, nil
	}), nil
}
