package geo

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Point is a place in a plane, or a longitude and a latitude.
type Point struct{ X, Y float64 }

func (p Point) onEarth() bool { return math.Abs(p.X) <= 180 && math.Abs(p.Y) <= 90 }

func bad(format string, args ...any) error {
	return mongoerr.New(mongoerr.BadValue, format, args...)
}

// isStructure reports whether v is a document or an array.
func isStructure(v bson.RawValue) bool {
	return v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray
}

// parsePoint reads the two coordinates of a legacy point: the first two
// elements of an array or a document, whatever their names. more allows further
// elements.
func parsePoint(v bson.RawValue, more bool) (Point, error) {
	if !isStructure(v) {
		return Point{}, bad("Point must be an array or object, instead got type %s", rawdoc.TypeName(v.Type))
	}
	var xy []float64
	for _, e := range value.Elements(bson.Raw(v.Value)) {
		if len(xy) == 2 {
			if more {
				break
			}
			return Point{}, bad("Point must only contain two numeric elements")
		}
		f, ok := value.AsFloat64(e)
		if !ok {
			return Point{}, bad("Point must only contain numeric elements, instead got type %s", rawdoc.TypeName(e.Type))
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return Point{}, bad("Point coordinates must be finite numbers")
		}
		xy = append(xy, f)
	}
	if len(xy) < 2 {
		return Point{}, bad("Point must contain two numeric elements")
	}
	return Point{X: xy[0], Y: xy[1]}, nil
}

// isLegacy reports whether v is written as legacy coordinates, not as GeoJSON.
func isLegacy(v bson.RawValue) bool {
	if v.Type == bson.TypeArray {
		return true
	}
	_, first, _ := rawdoc.First(v.Value)
	return value.IsNumber(first.Type)
}

func legacyPoint(v bson.RawValue, more bool) (*Geometry, error) {
	p, err := parsePoint(v, more)
	if err != nil {
		return nil, err
	}
	return &Geometry{points: []vector{onSphere(p)}, single: &p, legacy: true}, nil
}

// ParseStored reads the shape that a document holds.
func ParseStored(v bson.RawValue) (*Geometry, error) {
	if !isStructure(v) {
		return nil, bad("geo element must be an array or object: %s", rawdoc.Render(v))
	}
	if isLegacy(v) {
		return legacyPoint(v, true)
	}
	return parseGeoJSON(bson.Raw(v.Value))
}
