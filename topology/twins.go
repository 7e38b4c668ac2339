package topology

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
)

// BuildRelaxed builds indexes of one collection in relaxed form.
func BuildRelaxed(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, specs []bson.Raw) error {
	build, err := Relaxed(ctx, client, ns, specs)
	if err != nil {
		return err
	}
	return BuildIndexes(ctx, client, ns, build)
}

// Relaxed returns the relaxed forms of indexes that are to be built. Of two that
// differ only in what is relaxed a server takes one: of those the unique one,
// whose values can be checked, and the other one waits for FinishIndex.
func Relaxed(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, specs []bson.Raw) ([]bson.Raw, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	have, err := listIndexes(ctx, client, ns)
	if err != nil {
		return nil, err
	}
	var build []bson.Raw
	for _, spec := range slices.SortedStableFunc(slices.Values(specs), CompareUnique) {
		if !HasTwin(have, spec) && !HasTwin(build, spec) {
			build = append(build, RelaxIndex(spec))
		}
	}
	return build, nil
}

// CompareUnique orders specifications with the unique ones in front: so they are
// built, and take their final form.
func CompareUnique(a, b bson.Raw) int {
	x, y := isTrue(a, "unique"), isTrue(b, "unique")
	switch {
	case x == y:
		return 0
	case x:
		return -1
	default:
		return 1
	}
}

// HasTwin reports whether among indexes, which are not unique, there is one of
// another name that a server would take for this one if it were not unique
// either.
func HasTwin(indexes []bson.Raw, spec bson.Raw) bool {
	return slices.ContainsFunc(indexes, func(other bson.Raw) bool {
		return IndexName(other) != IndexName(spec) && !isTrue(other, "unique") && SameIndex(signature(other), signature(spec))
	})
}

// signature returns what tells an index from another one on the same key, but
// for unique (manual: createIndexes, "multiple indexes with the same key").
func signature(spec bson.Raw) bson.Raw {
	return rewrite(spec, func(e bson.RawElement) (any, bool) {
		switch e.Key() {
		case "key", "collation", "partialFilterExpression", "sparse", "wildcardProjection":
			return e.Value(), true
		}
		return nil, false
	})
}
