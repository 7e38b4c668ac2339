package geo

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// earthRadius is the server's, in meters.
const earthRadius = 6378100

// The server's codes for arguments beside legacy coordinates.
const (
	codeDistanceNegative mongoerr.Code = 18522
	codeMinNotNumber     mongoerr.Code = 16893
	codeMinNegative      mongoerr.Code = 16894
	codeMaxNotNumber     mongoerr.Code = 16895
	codeMaxNegative      mongoerr.Code = 16896
	codeNotGeo           mongoerr.Code = 34413
)

// Near is a $near or $nearSphere condition: a place, and how far off a document
// may be from it. It is immutable.
type Near struct {
	center    Point
	spherical bool
	geoJSON   bool // distances are in meters
	min, max  float64
}

// IsNear reports whether an operator is one of those that ask for nearness.
func IsNear(op string) bool { return op == "$near" || op == "$nearSphere" || op == "$geoNear" }

// ParseNear reads a field's condition, whose first operator IsNear.
func ParseNear(cond bson.Raw) (*Near, error) {
	n := &Near{max: math.MaxFloat64}
	legacy, err := n.parseLegacy(cond)
	if err != nil {
		return nil, err
	}
	if !legacy {
		n = &Near{max: math.MaxFloat64}
		if err := n.parseGeoJSON(cond); err != nil {
			return nil, err
		}
	}
	if n.spherical && !n.center.onEarth() {
		return nil, bad("Legacy point is out of bounds for spherical query")
	}
	return n, nil
}

// parseLegacy reads {$near: [x, y], $maxDistance: d}; not ok if the coordinates
// are not legacy ones.
func (n *Near) parseLegacy(cond bson.Raw) (ok bool, err error) {
	for name, v := range value.Elements(cond) {
		switch {
		case IsNear(name):
			if !isStructure(v) {
				return false, nil
			}
			if ok, err = n.place(v); err != nil {
				return false, err
			}
			n.spherical = n.geoJSON || name == "$nearSphere"
		case name == "$minDistance":
			n.min, err = legacyDistance(name, v, codeMinNotNumber, codeMinNegative)
		case name == "$maxDistance":
			n.max, err = legacyDistance(name, v, codeMaxNotNumber, codeMaxNegative)
		case name == "$uniqueDocs":
		default:
			return false, mongoerr.New(codeNotGeo, "invalid argument in geo near query: %s", name)
		}
		if err != nil {
			return false, err
		}
	}
	return ok, nil
}

// place reads what stands behind the operator if it is a point by itself:
// GeoJSON, [x, y] or [x, y, maxDistance].
func (n *Near) place(v bson.RawValue) (bool, error) {
	if !isLegacy(v) {
		g, err := parseGeoJSON(bson.Raw(v.Value))
		if err != nil || g.single == nil {
			return false, nil //nolint:nilerr // it may be the other form of the condition
		}
		n.center, n.geoJSON = *g.single, true
		return true, nil
	}
	var err error
	if n.center, err = parsePoint(v, true); err != nil {
		return false, nil //nolint:nilerr // as above
	}
	args := elements(v)
	if len(args) < 3 {
		return true, nil
	}
	limit, ok := value.AsFloat64(args[2])
	if !ok || len(args) > 3 {
		return false, nil
	}
	if limit < 0 || math.IsNaN(limit) {
		return false, mongoerr.New(codeDistanceNegative, "max distance must be non-negative")
	}
	n.max = limit
	return true, nil
}

func legacyDistance(name string, v bson.RawValue, notNumber, negative mongoerr.Code) (float64, error) {
	f, ok := value.AsFloat64(v)
	if !ok {
		return 0, mongoerr.New(notNumber, "%s must be a number", name)
	}
	if f < 0 || math.IsNaN(f) {
		return 0, mongoerr.New(negative, "%s must be non-negative", name)
	}
	return f, nil
}

// parseGeoJSON reads {$near: {$geometry: point, $maxDistance: d}}.
func (n *Near) parseGeoJSON(cond bson.Raw) error {
	op, arg, _ := rawdoc.First(cond)
	if rawdoc.Len(cond) > 1 {
		return bad("geo near accepts just one argument when querying for a GeoJSON point. Extra field found")
	}
	if !isStructure(arg) {
		return bad("geo near query argument is not an object")
	}
	n.geoJSON, n.spherical = true, true
	found := false
	for name, v := range value.Elements(bson.Raw(arg.Value)) {
		var err error
		switch name {
		case "$geometry":
			if isStructure(v) {
				found, err = true, n.pointOf(v)
			}
		case "$minDistance":
			n.min, err = distance(name, v)
		case "$maxDistance":
			n.max, err = distance(name, v)
		default:
			return bad("invalid argument in geo near query: %s", name)
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return bad("$geometry is required for geo near query %s", op)
	}
	return nil
}

func (n *Near) pointOf(v bson.RawValue) error {
	if isLegacy(v) {
		return bad("$near requires geojson point, given %s", rawdoc.Render(v))
	}
	g, err := parsePointObject(bson.Raw(v.Value))
	if err != nil {
		return bad("invalid point in geo near query $geometry argument: %s  %s", rawdoc.Render(v), mongoerr.From(err).Message)
	}
	if g.single == nil {
		return bad("invalid point in geo near query $geometry argument: %s", rawdoc.Render(v))
	}
	n.center = *g.single
	return nil
}

// parsePointObject reads a GeoJSON object, which is a point if it does not say
// its type.
func parsePointObject(doc bson.Raw) (*Geometry, error) {
	if _, typed := value.Get(doc, "type"); typed {
		return parseGeoJSON(doc)
	}
	c, _ := value.Get(doc, "coordinates")
	if !isStructure(c) {
		return nil, bad("Point coordinates must be an array, instead got type %s", rawdoc.TypeName(c.Type))
	}
	g := &Geometry{}
	return g, g.addSinglePoint(c)
}

func distance(name string, v bson.RawValue) (float64, error) {
	f, ok := value.AsFloat64(v)
	if !ok {
		return 0, bad("%s must be a number", name)
	}
	if !(f >= 0) || math.IsInf(f, 0) {
		return 0, bad("%s must be non-negative", name)
	}
	return f, nil
}

// Serves reports whether an index of that kind on the field can answer.
func (n *Near) Serves(kind string) bool {
	switch kind {
	case "2dsphere":
		return n.spherical
	case "2d":
		return !n.geoJSON
	default:
		return false
	}
}

// Distance returns how far the values at the field are, in the condition's
// unit; not ok if none is a shape that close or that far.
func (n *Near) Distance(vals []bson.RawValue) (d float64, ok bool) {
	d = math.Inf(1)
	for _, v := range vals {
		if g, err := ParseStored(v); err == nil && !g.strict {
			d = min(d, n.to(g))
			continue
		}
		if v.Type != bson.TypeArray {
			continue
		}
		for _, e := range elements(v) { // shapes of their own
			if g, err := ParseStored(e); err == nil && !g.strict {
				d = min(d, n.to(g))
			}
		}
	}
	return d, !math.IsInf(d, 1) && d >= n.min && d <= n.max
}

// Nearest returns which of the values at the field, or of their elements, is the
// nearest.
func (n *Near) Nearest(vals []bson.RawValue) bson.RawValue {
	best, at := math.Inf(1), bson.RawValue{}
	look := func(v bson.RawValue) bool {
		g, err := ParseStored(v)
		if err != nil || g.strict {
			return false
		}
		if d := n.to(g); d < best {
			best, at = d, v
		}
		return true
	}
	for _, v := range vals {
		if look(v) || v.Type != bson.TypeArray {
			continue
		}
		for _, e := range elements(v) {
			look(e)
		}
	}
	return at
}

func (n *Near) to(g *Geometry) float64 {
	switch {
	case !n.spherical && g.single == nil, n.spherical && !g.Spherical():
		return math.Inf(1)
	case !n.spherical:
		return flatDistance(n.center, *g.single)
	case n.geoJSON:
		return g.distance(onSphere(n.center)) * earthRadius
	default:
		return g.distance(onSphere(n.center))
	}
}
