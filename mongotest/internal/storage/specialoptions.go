package storage

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// checkOptions refuses values that the options of text and geo indexes cannot
// have, and weights on other indexes.
func (ix *Index) checkOptions() error {
	kinds := map[string]bool{}
	for _, f := range ix.fields {
		kinds[f.special] = true
	}
	if _, weighted := value.Get(ix.Spec, textWeights); weighted && !kinds[kindText] {
		return ix.cannotHave("weights are of text indexes only")
	}
	switch {
	case kinds[kindText]:
		return ix.checkTextOptions()
	case kinds[kind2d]:
		return ix.check2dOptions()
	case kinds[kind2dsphere]:
		if v := ix.option("2dsphereIndexVersion", 3); v < 1 || v > 4 {
			return ix.cannotHave("unsupported geo index version")
		}
	}
	return nil
}

func (ix *Index) cannotHave(why string) error {
	return mongoerr.New(mongoerr.CannotCreateIndex, "%s: %s", why, render(ix.Spec))
}

// maxWeight is the highest weight of a field in a text index, exclusive.
const maxWeight = 100_000

func (ix *Index) checkTextOptions() error {
	weights, _ := value.Get(ix.Spec, textWeights)
	err := eachElement(bson.Raw(weights.Value), func(_ string, v bson.RawValue) error {
		if w, ok := value.AsFloat64(v); !ok || !(w > 0 && w < maxWeight) {
			return ix.cannotHave("text index weight must be in the exclusive interval (0,100000)")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if v, ok := value.Get(ix.Spec, "language_override"); ok && v.StringValue() == "" {
		return ix.cannotHave("language_override cannot be empty")
	}
	return nil
}

// check2dOptions checks the grid of a 2d index.
func (ix *Index) check2dOptions() error {
	invalid := func(why string) error { return mongoerr.New(mongoerr.InvalidOptions, "%s: %s", why, render(ix.Spec)) }
	bits := ix.option("bits", 26)
	switch {
	case bits < 1 || bits > 32 || math.IsNaN(bits):
		return invalid("bits for hash must be > 0 and <= 32")
	case ix.option("min", -180) >= ix.option("max", 180):
		return invalid("region for hash must be valid and have positive area")
	}
	return nil
}
