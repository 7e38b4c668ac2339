package geo

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The coordinate reference systems that a shape may name.
const (
	crs84     = "urn:ogc:def:crs:OGC:1.3:CRS84"
	epsg4326  = "EPSG:4326"
	strictCRS = "urn:x-mongodb:crs:strictwinding:EPSG:4326"
)

// parseGeoJSON reads a GeoJSON object.
func parseGeoJSON(doc bson.Raw) (*Geometry, error) {
	t, _ := value.Get(doc, "type")
	kind, ok := t.StringValueOK()
	if !ok {
		return nil, bad("unknown GeoJSON type: %s", rawdoc.RenderDoc(doc))
	}
	g := &Geometry{}
	if kind == "GeometryCollection" {
		return g, g.addCollection(doc)
	}
	if err := g.system(doc); err != nil {
		return nil, err
	}
	if g.strict && kind != "Polygon" {
		return nil, bad("Strict winding order is only supported by polygon")
	}
	add, ok := map[string]func(bson.RawValue) error{
		"Point": g.addSinglePoint, "LineString": g.addLine, "Polygon": g.addPolygon,
		"MultiPoint": each(g.addPoint), "MultiLineString": each(g.addLine), "MultiPolygon": each(g.addPolygon),
	}[kind]
	if !ok {
		return nil, bad("unknown GeoJSON type: %s", rawdoc.RenderDoc(doc))
	}
	c, _ := value.Get(doc, "coordinates")
	if !isStructure(c) {
		return nil, bad("%s coordinates must be an array, instead got type %s", kind, rawdoc.TypeName(c.Type))
	}
	return g, add(c)
}

// system reads which coordinates the shape is given in.
func (g *Geometry) system(doc bson.Raw) error {
	crs, ok := value.Get(doc, "crs")
	if !ok {
		return nil
	}
	if crs.Type != bson.TypeEmbeddedDocument {
		return bad("GeoJSON CRS must be an object")
	}
	if t, _ := value.Get(bson.Raw(crs.Value), "type"); t.Type != bson.TypeString || t.StringValue() != "name" {
		return bad("GeoJSON CRS must have field \"type\": \"name\"")
	}
	name, _ := value.Lookup(bson.Raw(crs.Value), "properties.name")
	s, ok := name.StringValueOK()
	if !ok {
		return bad("CRS must have field \"properties.name\" which is a string")
	}
	if s != crs84 && s != epsg4326 && s != strictCRS {
		return bad("Unknown CRS name: %s", s)
	}
	g.strict = s == strictCRS
	return nil
}

// each adds every element of an array, of which there must be one.
func each(add func(bson.RawValue) error) func(bson.RawValue) error {
	return func(v bson.RawValue) error {
		if v.Type != bson.TypeArray || value.IsEmpty(bson.Raw(v.Value)) {
			return bad("coordinates of a multiple shape must be a non-empty array")
		}
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if err := add(e); err != nil {
				return err
			}
		}
		return nil
	}
}

func (g *Geometry) addCollection(doc bson.Raw) error {
	list, _ := value.Get(doc, "geometries")
	if list.Type != bson.TypeArray || value.IsEmpty(bson.Raw(list.Value)) {
		return bad("GeometryCollection geometries must be a non-empty array")
	}
	for _, e := range value.Elements(bson.Raw(list.Value)) {
		if e.Type != bson.TypeEmbeddedDocument {
			return bad("Element of GeometryCollection geometries must be an object")
		}
		if t, _ := value.Get(bson.Raw(e.Value), "type"); t.Type == bson.TypeString && t.StringValue() == "GeometryCollection" {
			return bad("GeometryCollections cannot be nested: %s", rawdoc.RenderDoc(e.Value))
		}
		sub, err := parseGeoJSON(bson.Raw(e.Value))
		if err != nil {
			return err
		}
		g.points = append(g.points, sub.points...)
		g.lines = append(g.lines, sub.lines...)
		g.polygons = append(g.polygons, sub.polygons...)
	}
	return nil
}

// place reads a longitude and a latitude.
func place(v bson.RawValue) (vector, error) {
	p, err := parsePoint(v, true)
	if err != nil {
		return vector{}, err
	}
	if !p.onEarth() {
		return vector{}, bad("longitude/latitude is out of bounds, lng: %v lat: %v", p.X, p.Y)
	}
	return onSphere(p), nil
}

func (g *Geometry) addPoint(v bson.RawValue) error {
	p, err := place(v)
	g.points = append(g.points, p)
	return err
}

func (g *Geometry) addSinglePoint(v bson.RawValue) error {
	if err := g.addPoint(v); err != nil {
		return err
	}
	p, err := parsePoint(v, true)
	g.single = &p
	return err
}

// places reads the vertices of a line, without repetitions in a row.
func places(v bson.RawValue) ([]vector, error) {
	if v.Type != bson.TypeArray {
		return nil, bad("GeoJSON coordinates must be an array of coordinates")
	}
	var out []vector
	for _, e := range value.Elements(bson.Raw(v.Value)) {
		p, err := place(e)
		if err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	return out, nil
}

func (g *Geometry) addLine(v bson.RawValue) error {
	l, err := places(v)
	if err != nil {
		return err
	}
	if len(l) < 2 {
		return bad("GeoJSON LineString must have at least 2 vertices: %s", rawdoc.Render(v))
	}
	for i := 1; i < len(l); i++ {
		if math.Pi-l[i].angle(l[i-1]) < tolerance {
			return bad("GeoJSON LineString has antipodal vertices: %s", rawdoc.Render(v))
		}
	}
	g.lines = append(g.lines, l)
	return nil
}

func (g *Geometry) addPolygon(v bson.RawValue) error {
	if v.Type != bson.TypeArray || value.IsEmpty(bson.Raw(v.Value)) {
		return bad("Polygon coordinates must be a non-empty array of linear rings")
	}
	var out polygon
	for _, ring := range value.Elements(bson.Raw(v.Value)) {
		l, err := parseRing(ring)
		if err != nil {
			return err
		}
		small, turned := l.small()
		switch {
		case out.shell == nil:
			out.shell, out.complement = small, turned && g.strict
		case g.strict:
			return bad("Only one simple loop is allowed in a big polygon")
		default:
			out.holes = append(out.holes, small)
		}
	}
	if err := out.checkHoles(); err != nil {
		return err
	}
	g.polygons = append(g.polygons, out)
	return nil
}

func parseRing(v bson.RawValue) (loop, error) {
	l, err := places(v)
	if err != nil {
		return nil, err
	}
	if len(l) < 2 || l[0] != l[len(l)-1] {
		return nil, bad("Loop is not closed: %s", rawdoc.Render(v))
	}
	out := loop(l[:len(l)-1])
	if problem := out.problem(); problem != "" {
		return nil, bad("Loop is not valid: %s %s", rawdoc.Render(v), problem)
	}
	return out, nil
}

// checkHoles refuses holes that are not inside of the shell.
func (g polygon) checkHoles() error {
	shell := polygon{shell: g.shell}
	for _, h := range g.holes {
		for i, p := range h {
			atVertex := false
			for _, q := range g.shell {
				atVertex = atVertex || q.near(p)
			}
			if shell.crosses(h.edge(i)) || !atVertex && (shell.onBorder(p) || !shell.inside(p)) {
				return bad("Secondary loops not contained by first exterior loop - secondary loops must be holes")
			}
		}
	}
	return nil
}
