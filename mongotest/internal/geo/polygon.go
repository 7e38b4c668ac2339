package geo

import (
	"fmt"
	"math"
	"slices"
)

// loop is a closed line; the last vertex is joined to the first. What lies to
// the left of its edges is inside.
type loop []vector

func (l loop) edge(i int) edge { return edge{l[i], l[(i+1)%len(l)]} }

// turning is the sum of the turns at the vertices: 2π less the area inside.
func (l loop) turning() float64 {
	sum := 0.0
	for i, b := range l {
		n1 := l[(i+len(l)-1)%len(l)].cross(b)
		n2 := b.cross(l[(i+1)%len(l)])
		sum += math.Atan2(b.dot(n1.cross(n2)), n1.dot(n2))
	}
	return sum
}

// small returns the loop, turned round if its inside is more than half the
// sphere.
func (l loop) small() (small loop, turned bool) {
	if l.turning() >= -tolerance {
		return l, false
	}
	l = slices.Clone(l)
	slices.Reverse(l)
	return l, true
}

// encloses reports whether p lies inside a small loop, seen from p: whether the
// loop goes once around it.
func (l loop) encloses(p vector) bool {
	sum := 0.0
	for i := range l {
		e := l.edge(i)
		u := e.a.plus(p.times(-e.a.dot(p)))
		v := e.b.plus(p.times(-e.b.dot(p)))
		sum += math.Atan2(p.dot(u.cross(v)), u.dot(v))
	}
	return sum > math.Pi
}

func (l loop) onBorder(p vector) bool {
	for i := range l {
		if l.edge(i).distance(p) < tolerance {
			return true
		}
	}
	return false
}

// problem says how a loop meets itself; "" if it does not.
func (l loop) problem() string {
	if len(l) < 3 {
		return "Loop must have at least 3 different vertices"
	}
	for i := range l {
		for j := i + 1; j < len(l); j++ {
			if l[i] == l[j] {
				return fmt.Sprintf("Duplicate vertices: %d and %d", i, j)
			}
			if l.edge(i).crosses(l.edge(j)) {
				return fmt.Sprintf("Edges %d and %d cross", i, j)
			}
		}
	}
	return ""
}

// polygon is a small loop with holes, or all but its inside.
type polygon struct {
	shell      loop
	holes      []loop
	complement bool
}

// holds reports whether p is part of the polygon, border included.
func (g polygon) holds(p vector) bool { return g.onBorder(p) || g.inside(p) }

// inside reports whether p lies in the polygon, its border aside.
func (g polygon) inside(p vector) bool {
	in := g.shell.encloses(p) && !slices.ContainsFunc(g.holes, func(h loop) bool { return h.encloses(p) })
	return in != g.complement
}

func (g polygon) onBorder(p vector) bool {
	return g.shell.onBorder(p) || slices.ContainsFunc(g.holes, func(h loop) bool { return h.onBorder(p) })
}

// crosses reports whether e crosses the border.
func (g polygon) crosses(e edge) bool {
	for _, l := range append([]loop{g.shell}, g.holes...) {
		for i := range l {
			if l.edge(i).crosses(e) {
				return true
			}
		}
	}
	return false
}

// holdsEdge reports whether all of e is part of the polygon.
func (g polygon) holdsEdge(e edge) bool {
	return g.holds(e.a) && g.holds(e.b) && g.holds(e.middle()) && !g.crosses(e)
}

func (g polygon) meetsEdge(e edge) bool { return g.holds(e.a) || g.holds(e.b) || g.crosses(e) }

// holdsPolygon reports whether all of o is part of the polygon.
func (g polygon) holdsPolygon(o polygon) bool {
	for i := range o.shell {
		if !g.holdsEdge(o.shell.edge(i)) {
			return false
		}
	}
	for _, h := range g.holes {
		if o.inside(h[0]) {
			return false
		}
	}
	return !g.complement || !o.holds(g.shell[0]) || g.shell.onBorder(o.shell[0])
}

// meetsPolygon reports whether two polygons overlap; a common border is not
// enough.
func (g polygon) meetsPolygon(o polygon) bool {
	for i := range o.shell {
		if e := o.shell.edge(i); g.inside(e.a) && !g.onBorder(e.a) || g.crosses(e) {
			return true
		}
	}
	return g.inside(o.inner()) || o.inside(g.inner())
}

// inner returns some place inside the polygon.
func (g polygon) inner() vector {
	n := len(g.shell)
	for i, b := range g.shell {
		m := g.shell[(i+n-1)%n].plus(b).plus(g.shell[(i+1)%n])
		if m = m.times(1 / m.length()); g.inside(m) && !g.onBorder(m) {
			return m
		}
	}
	return g.shell[0]
}

// distance returns how far p is from the polygon, 0 inside.
func (g polygon) distance(p vector) float64 {
	if g.holds(p) {
		return 0
	}
	best := math.Inf(1)
	for _, l := range append([]loop{g.shell}, g.holes...) {
		for i := range l {
			best = min(best, l.edge(i).distance(p))
		}
	}
	return best
}
