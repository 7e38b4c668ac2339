package geo

import (
	"math"
	"slices"
)

// line is a chain of edges.
type line []vector

func (l line) edges() []edge {
	out := make([]edge, 0, len(l))
	for i := 1; i < len(l); i++ {
		out = append(out, edge{l[i-1], l[i]})
	}
	return out
}

// Geometry is a shape of GeoJSON, or a legacy point.
type Geometry struct {
	points   []vector
	lines    []line
	polygons []polygon
	// single is the shape's coordinates if it is one point.
	single *Point
	// legacy says that the shape was not written in GeoJSON.
	legacy bool
	// strict says that the winding order of the polygon says what is inside.
	strict bool
}

// Spherical reports whether the shape has a place on the sphere.
func (g *Geometry) Spherical() bool { return !g.legacy || g.single.onEarth() }

// Strict reports whether the winding order of the shape says what is inside,
// which only the shapes of queries may ask for.
func (g *Geometry) Strict() bool { return g.strict }

// Point returns the coordinates of a shape that is one point.
func (g *Geometry) Point() (p Point, ok bool) {
	if g.single == nil {
		return Point{}, false
	}
	return *g.single, true
}

// within reports whether all of g lies in the polygons of region.
func (g *Geometry) within(region *Geometry) bool {
	for _, p := range g.points {
		if !slices.ContainsFunc(region.polygons, func(r polygon) bool { return r.holds(p) }) {
			return false
		}
	}
	for _, l := range g.lines {
		holds := func(r polygon) bool {
			return !slices.ContainsFunc(l.edges(), func(e edge) bool { return !r.holdsEdge(e) })
		}
		if !slices.ContainsFunc(region.polygons, holds) {
			return false
		}
	}
	for _, p := range g.polygons {
		if !slices.ContainsFunc(region.polygons, func(r polygon) bool { return r.holdsPolygon(p) }) {
			return false
		}
	}
	return true
}

// intersects reports whether g and o have a place in common.
func (g *Geometry) intersects(o *Geometry) bool {
	return slices.ContainsFunc(g.points, o.holdsPoint) || slices.ContainsFunc(o.points, g.holdsPoint) ||
		slices.ContainsFunc(g.lines, o.meetsLine) || slices.ContainsFunc(o.lines, g.meetsLine) ||
		slices.ContainsFunc(g.polygons, func(p polygon) bool { return slices.ContainsFunc(o.polygons, p.meetsPolygon) })
}

func (g *Geometry) holdsPoint(p vector) bool { return g.distance(p) < tolerance }

func (g *Geometry) meetsLine(l line) bool {
	for _, e := range l.edges() {
		for _, own := range g.lines {
			if slices.ContainsFunc(own.edges(), e.intersects) {
				return true
			}
		}
		if slices.ContainsFunc(g.polygons, func(p polygon) bool { return p.meetsEdge(e) }) {
			return true
		}
	}
	return false
}

// distance returns how far p is from the nearest place of g.
func (g *Geometry) distance(p vector) float64 {
	best := math.Inf(1)
	for _, q := range g.points {
		best = min(best, q.angle(p))
	}
	for _, l := range g.lines {
		for _, e := range l.edges() {
			best = min(best, e.distance(p))
		}
	}
	for _, q := range g.polygons {
		best = min(best, q.distance(p))
	}
	return best
}

// farthest returns how far p is from the farthest place of g.
func (g *Geometry) farthest(p vector) float64 {
	worst := 0.0
	for _, q := range g.points {
		worst = max(worst, q.angle(p))
	}
	for _, l := range g.lines {
		for _, e := range l.edges() {
			worst = max(worst, e.farthest(p))
		}
	}
	for _, q := range g.polygons {
		if q.holds(p.times(-1)) {
			return math.Pi
		}
		for i := range q.shell {
			worst = max(worst, q.shell.edge(i).farthest(p))
		}
	}
	return worst
}
