package geo

import "math"

// flatShape is a shape in a plane. Its border belongs to it.
type flatShape interface{ holds(p Point) bool }

type (
	box    struct{ low, high Point }
	circle struct {
		center Point
		radius float64
	}
	outline []Point
)

func newBox(a, b Point) box {
	return box{
		low:  Point{X: min(a.X, b.X), Y: min(a.Y, b.Y)},
		high: Point{X: max(a.X, b.X), Y: max(a.Y, b.Y)},
	}
}

func (b box) holds(p Point) bool {
	return p.X >= b.low.X && p.X <= b.high.X && p.Y >= b.low.Y && p.Y <= b.high.Y
}

func (c circle) holds(p Point) bool { return flatDistance(c.center, p) <= c.radius }

// flatDistance is exact where only one coordinate differs.
func flatDistance(a, b Point) float64 {
	switch {
	case a.X == b.X:
		return math.Abs(a.Y - b.Y)
	case a.Y == b.Y:
		return math.Abs(a.X - b.X)
	default:
		return math.Hypot(a.X-b.X, a.Y-b.Y)
	}
}

// holds counts the edges to the right of p. Corners and the edges along an axis
// belong to the shape; of the others, those to the right of it.
func (o outline) holds(p Point) bool {
	in := false
	for i, a := range o {
		b := o[(i+1)%len(o)]
		if (a.X == b.X || a.Y == b.Y) && newBox(a, b).holds(p) || a == p {
			return true
		}
		if p.Y > min(a.Y, b.Y) && p.Y <= max(a.Y, b.Y) && p.X <= (p.Y-a.Y)*(b.X-a.X)/(b.Y-a.Y)+a.X {
			in = !in
		}
	}
	return in
}
