package geo

import "math"

// tolerance is the angle in radians, some centimeters on the earth, below which
// two places are one.
const tolerance = 1e-9

// vector is a place on the unit sphere, or a direction.
type vector [3]float64

// onSphere returns the place of a longitude and a latitude in degrees.
func onSphere(p Point) vector {
	const radians = math.Pi / 180 // multiplied as one: the last bit of a distance depends on it
	lng, lat := p.X*radians, p.Y*radians
	return vector{math.Cos(lat) * math.Cos(lng), math.Cos(lat) * math.Sin(lng), math.Sin(lat)}
}

func (a vector) dot(b vector) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func (a vector) cross(b vector) vector {
	return vector{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

func (a vector) times(f float64) vector { return vector{a[0] * f, a[1] * f, a[2] * f} }

func (a vector) plus(b vector) vector { return vector{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }

func (a vector) length() float64 { return math.Sqrt(a.dot(a)) }

// angle returns the angle between two places, which is their distance.
func (a vector) angle(b vector) float64 { return math.Atan2(a.cross(b).length(), a.dot(b)) }

func (a vector) near(b vector) bool { return a.angle(b) < tolerance }

// edge is the shorter arc between two places.
type edge struct{ a, b vector }

// distance returns how far p is from the nearest place of the edge.
func (e edge) distance(p vector) float64 {
	n := e.a.cross(e.b)
	l := n.length()
	if l > 1e-15 && n.cross(e.a).dot(p) > 0 && n.cross(e.b).dot(p) < 0 {
		return math.Abs(math.Asin(max(-1, min(1, p.dot(n)/l))))
	}
	return min(p.angle(e.a), p.angle(e.b))
}

// farthest returns how far p is from the farthest place of the edge.
func (e edge) farthest(p vector) float64 { return math.Pi - e.distance(p.times(-1)) }

// middle returns the place halfway.
func (e edge) middle() vector {
	m := e.a.plus(e.b)
	if l := m.length(); l > 0 {
		return m.times(1 / l)
	}
	return e.a
}

// crosses reports whether two edges cross inside of both.
func (e edge) crosses(o edge) bool {
	n := e.a.cross(e.b)
	acb, bda := -n.dot(o.a), n.dot(o.b)
	if acb*bda <= 0 {
		return false
	}
	m := o.a.cross(o.b)
	return acb*-m.dot(e.b) > 0 && acb*m.dot(e.a) > 0 && !e.touches(o)
}

// touches reports whether an end of one edge lies on the other.
func (e edge) touches(o edge) bool {
	return e.distance(o.a) < tolerance || e.distance(o.b) < tolerance ||
		o.distance(e.a) < tolerance || o.distance(e.b) < tolerance
}

func (e edge) intersects(o edge) bool { return e.touches(o) || e.crosses(o) }
