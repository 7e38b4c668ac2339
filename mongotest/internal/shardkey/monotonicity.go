package shardkey

import (
	"iter"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Unknown is the monotonicity of a key of which the order of insertion cannot be
// told: in a clustered collection, or without an index in the order of the key.
func Unknown() bson.Raw { return value.D("type", "unknown") }

// Constant is the monotonicity of a key that says nothing of the order: one that
// begins with a hashed field, or has one value only.
func Constant() bson.Raw { return correlated(0) }

// Monotonicity tells how the values of the key follow the order of insertion: by
// the correlation of their places in an index with the record ids there. In comes
// the index, of which total says how long it is.
func (r Request) Monotonicity(index iter.Seq2[int64, bson.Raw], total int64) (bson.Raw, error) {
	var ids []int64
	var first bson.Raw
	several := false
	i := int64(0)
	for id, doc := range index {
		if r.chosen(i, total) {
			ids = append(ids, id)
			if !several {
				key := r.Key.Of(doc, true)
				several = first != nil && value.CompareDocs(first, key) != 0
				first = key
			}
		}
		i++
	}
	switch {
	case len(ids) == 0:
		return nil, mongoerr.New(7826505, "Cannot analyze the monotonicity because the number of sampled records is zero")
	case !several:
		return Constant(), nil
	}
	return correlated(correlation(ids)), nil
}

func correlated(c float64) bson.Raw {
	kind := "not monotonic"
	if math.Abs(c) >= monotonicFrom {
		kind = "monotonic"
	}
	return value.D("recordIdCorrelationCoefficient", c, "type", kind)
}

// correlation is Pearson's coefficient of ids and their places, to the ten digits
// that the server gives.
func correlation(ids []int64) float64 {
	n := float64(len(ids))
	var meanX, meanY float64
	for i, id := range ids {
		meanX += float64(i) / n
		meanY += float64(id) / n
	}
	var xy, xx, yy float64
	for i, id := range ids {
		x, y := float64(i)-meanX, float64(id)-meanY
		xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
	}
	return math.Round(xy/math.Sqrt(xx*yy)*1e10) / 1e10
}
