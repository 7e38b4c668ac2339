package geo

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Region is the argument of $geoWithin or $geoIntersects. It is immutable.
type Region struct {
	within bool
	flat   flatShape // of $box, $center or $polygon
	shape  *Geometry // of $geometry
	center vector    // of $centerSphere, if neither is set
	radius float64
}

// ParseRegion reads the argument of $geoWithin, or of its old name $within, or
// of $geoIntersects.
func ParseRegion(op string, arg bson.RawValue) (*Region, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, bad("geometry must be an object")
	}
	r := &Region{within: op != "$geoIntersects"}
	found := false
	for name, v := range value.Elements(bson.Raw(arg.Value)) {
		if name == "$uniqueDocs" { // of old servers; without effect
			continue
		}
		if found && op == "$geoWithin" {
			return nil, bad("$geoWithin doesn't accept multiple shapes %s", rawdoc.RenderElement(op, arg))
		}
		found = true
		if err := r.shapeOf(name, v); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, bad("geo query doesn't have any geometry")
	}
	return r, r.check(op, arg)
}

func (r *Region) shapeOf(name string, v bson.RawValue) error {
	r.flat, r.shape = nil, nil
	if !isStructure(v) {
		return bad("geo element must be an array or object: %s", rawdoc.RenderElement(name, v))
	}
	var err error
	switch name {
	case "$geometry":
		if isLegacy(v) {
			r.shape, err = legacyPoint(v, false)
		} else {
			r.shape, err = parseGeoJSON(bson.Raw(v.Value))
		}
	case "$box":
		r.flat, err = parseBox(v)
	case "$polygon":
		r.flat, err = parseOutline(v)
	case "$center":
		var c circle
		c, err = parseCircle(v)
		r.flat = c
	case "$centerSphere":
		var c circle
		if c, err = parseCircle(v); err == nil && !c.center.onEarth() {
			return bad("longitude/latitude is out of bounds, lng: %v lat: %v", c.center.X, c.center.Y)
		}
		r.center, r.radius = onSphere(c.center), c.radius
	default:
		return bad("unknown geo specifier: %s", rawdoc.RenderElement(name, v))
	}
	return err
}

// check refuses shapes that the operator cannot use.
func (r *Region) check(op string, arg bson.RawValue) error {
	query := "{" + rawdoc.RenderElement(op, arg) + "}"
	switch {
	case r.within && r.shape != nil && len(r.shape.polygons) == 0:
		return bad("$within not supported with provided geometry: %s", query)
	case !r.within && (r.shape == nil || !r.shape.Spherical()):
		return bad("$geoIntersect not supported with provided geometry: %s", query)
	default:
		return nil
	}
}

// Holds reports whether the shape in a document fulfills the condition. What is
// no shape does not.
func (r *Region) Holds(v bson.RawValue) bool {
	if !isStructure(v) {
		return false
	}
	g, err := ParseStored(v)
	switch {
	case err != nil || g.strict:
		return false
	case r.flat != nil:
		return g.single != nil && r.flat.holds(*g.single)
	case !g.Spherical():
		return false
	case r.shape == nil:
		return g.farthest(r.center) <= r.radius+1e-14
	case r.within:
		return g.within(r.shape)
	default:
		return g.intersects(r.shape)
	}
}

// elements returns the elements of an array or a document.
func elements(v bson.RawValue) []bson.RawValue { return rawdoc.Values(v.Value) }

func parseBox(v bson.RawValue) (flatShape, error) {
	corners := elements(v)
	if len(corners) < 2 {
		return nil, bad("Box must be formed by 2 points")
	}
	a, err := parsePoint(corners[0], false)
	if err != nil {
		return nil, err
	}
	b, err := parsePoint(corners[1], false)
	return newBox(a, b), err
}

func parseOutline(v bson.RawValue) (flatShape, error) {
	var out outline
	for _, e := range elements(v) {
		p, err := parsePoint(e, false)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if len(out) < 3 {
		return nil, bad("Polygon must have at least 3 points")
	}
	return out, nil
}

func parseCircle(v bson.RawValue) (circle, error) {
	args := elements(v)
	if len(args) == 0 {
		return circle{}, bad("Point must be an array or object, instead got type missing")
	}
	p, err := parsePoint(args[0], false)
	if err != nil {
		return circle{}, err
	}
	if len(args) < 2 {
		return circle{}, bad("radius must be a non-negative number")
	}
	radius, ok := value.AsFloat64(args[1])
	if !ok || radius < 0 || math.IsNaN(radius) {
		return circle{}, bad("radius must be a non-negative number")
	}
	if len(args) > 2 {
		return circle{}, bad("Only 2 fields allowed for circular region")
	}
	return circle{center: p, radius: radius}, nil
}
