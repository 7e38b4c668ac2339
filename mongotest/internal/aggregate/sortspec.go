package aggregate

import (
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxSortKeys is how many fields a $sort may have.
const maxSortKeys = 32

// sortSpec checks the specification of a $sort and makes its directions whole
// numbers.
func sortSpec(spec bson.Raw) (bson.Raw, error) {
	var b rawdoc.Builder
	seen := map[string]bool{}
	for k, v := range value.Elements(spec) {
		if v.Type == bson.TypeEmbeddedDocument {
			return nil, sortMeta(v.Value)
		}
		dir, err := sortDirection(v)
		if err != nil {
			return nil, err
		}
		if err := checkPath(strings.Split(k, ".")); err != nil {
			return nil, err
		}
		if seen[k] {
			return nil, mongoerr.New(7472500, "$sort key must not contain duplicate keys (duplicate: '%s')", k)
		}
		seen[k] = true
		b.Add(k, value.Int32(dir))
	}
	if b.Len() > maxSortKeys {
		return nil, mongoerr.New(13103, "too many compound keys")
	}
	return b.Bytes(), nil
}

// sortDirection rounds a double toward zero and a decimal to the nearest.
func sortDirection(v bson.RawValue) (int32, error) {
	if !number.Is(v) {
		return 0, mongoerr.New(15974, "Illegal key in $sort specification: %s", rawdoc.Render(v))
	}
	f := math.Trunc(number.Float(v))
	if v.Type == bson.TypeDecimal128 {
		f = number.Float(number.Decimal(v).Quantize(0, number.HalfEven).Value())
	}
	switch f {
	case 1:
		return 1, nil
	case -1:
		return -1, nil
	}
	return 0, mongoerr.New(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
}

// sortMeta explains why there is no order by metadata: none exist here.
func sortMeta(spec bson.Raw) error {
	name, v, _ := rawdoc.First(spec)
	if name != "$meta" || rawdoc.Len(spec) != 1 {
		return mongoerr.New(17312, "$meta is the only expression supported by $sort right now")
	}
	meta, _ := v.StringValueOK()
	switch meta {
	case "textScore", "geoNearDistance", "searchScore", "vectorSearchScore", "score":
		return mongoerr.New(40218, "query requires %s metadata, but it is not available", meta)
	case "randVal":
		return mongoerr.New(mongoerr.CommandNotSupported, "$sort by randVal is not supported by this simulated server")
	}
	return mongoerr.New(31138, "Illegal $meta sort: %s", rawdoc.RenderDoc(spec))
}
