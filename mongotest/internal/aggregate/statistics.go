package aggregate

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// deviation is Welford's running standard deviation.
type deviation struct {
	sample   bool
	sliding  bool // values leave the window: what is not finite makes null
	broken   bool
	n        int64
	mean, m2 float64
}

func (a *deviation) add(v bson.RawValue) error {
	if !number.Is(v) {
		return nil
	}
	x := number.Float(v)
	if a.sliding && (math.IsInf(x, 0) || math.IsNaN(x)) {
		a.broken = true
		return nil
	}
	a.n++
	if delta := x - a.mean; delta != 0 {
		a.mean += delta / float64(a.n)
		a.m2 += delta * (x - a.mean)
	}
	return nil
}

func (a *deviation) result() bson.RawValue {
	n := a.n
	if a.sample {
		n--
	}
	if n <= 0 || a.broken {
		return value.Null()
	}
	if a.sliding && a.n == 1 {
		return value.Int32(0)
	}
	return value.Double(math.Sqrt(a.m2 / float64(n)))
}

// covariance of the pairs of numbers in arrays of two. Its means come from
// running totals.
type covariance struct {
	sample     bool
	n          int64
	sumX, sumY bson.RawValue
	c          bson.RawValue
	odd        bson.RawValue // the total of what is not finite
}

func newCovariance(sample bool) *covariance {
	nought := value.Double(0)
	return &covariance{sample: sample, sumX: value.Int32(0), sumY: value.Int32(0), c: nought}
}

func (a *covariance) add(v bson.RawValue) error {
	if v.Type != bson.TypeArray {
		return nil
	}
	pair := rawdoc.Values(v.Value)
	if len(pair) != 2 || !number.Is(pair[0]) || !number.Is(pair[1]) {
		return nil
	}
	x, y := pair[0], pair[1]
	if infinite(x) || infinite(y) {
		both, _ := number.Add(x, y)
		if a.odd.Type != 0 {
			both, _ = number.Add(both, a.odd)
		}
		a.odd = both
		return nil
	}
	a.n++
	before := x
	if a.n > 1 {
		before = number.Div(a.sumX, value.Int64(a.n-1))
	}
	dx, _ := number.Sub(x, before)
	a.sumX, _ = number.Add(a.sumX, x)
	a.sumY, _ = number.Add(a.sumY, y)
	dy, _ := number.Sub(y, number.Div(a.sumY, value.Int64(a.n)))
	product, _ := number.Mul(dx, dy)
	a.c, _ = number.Add(a.c, product)
	return nil
}

// infinite reports whether a number is infinite or NaN.
func infinite(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeDouble:
		return math.IsInf(v.Double(), 0) || math.IsNaN(v.Double())
	case bson.TypeDecimal128:
		return !number.Decimal(v).IsFinite()
	default:
		return false
	}
}

func (a *covariance) result() bson.RawValue {
	n := a.n
	if a.sample {
		n--
	}
	switch {
	case n <= 0:
		return value.Null()
	case a.n == 1:
		return value.Double(0)
	case a.odd.Type != 0:
		return a.odd
	}
	return number.Div(a.c, value.Int64(n))
}

// percentiles is a compiled $percentile or $median.
type percentiles struct {
	input      evalFunc
	p          []float64
	median     bool
	continuous bool
}

func parsePercentiles(op string, arg bson.RawValue) (*percentiles, error) {
	required := []string{"input", "p", "method"}
	pc := &percentiles{median: op == "$median"}
	if pc.median {
		required = []string{"input", "method"}
		pc.p = []float64{0.5}
	}
	raw, err := rawArgs(op, arg, required, nil)
	if err != nil {
		return nil, err
	}
	switch method, _ := raw["method"].StringValueOK(); method {
	case "approximate", "discrete":
	case "continuous":
		pc.continuous = true
	default:
		return nil, mongoerr.New(mongoerr.BadValue, "Currently only 'approximate' can be used as percentile 'method'.")
	}
	if pc.input, err = compile(raw["input"]); err != nil || pc.median {
		return pc, err
	}
	p, err := compile(raw["p"])
	if err != nil {
		return nil, err
	}
	v, err := p(evalCtx{})
	if err != nil || v.Type != bson.TypeArray || value.IsEmpty(v.Value) {
		return nil, mongoerr.New(7750301, "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: %s", showMissing(v))
	}
	for _, e := range value.Elements(v.Value) {
		if !number.Is(e) {
			return nil, mongoerr.New(7750302, "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: %s", rawdoc.Render(e))
		}
		f := number.Float(e)
		if !(f >= 0 && f <= 1) {
			return nil, mongoerr.New(7750303, "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: %s", rawdoc.Render(e))
		}
		pc.p = append(pc.p, f)
	}
	return pc, nil
}

func compilePercentile(op string, arg bson.RawValue) (accDef, error) {
	pc, err := parsePercentiles(op, arg)
	if err != nil {
		return accDef{}, err
	}
	return accDef{arg: pc.input, make: func(evalCtx) (accumulator, error) { return &percentileAcc{of: pc}, nil }}, nil
}

type percentileAcc struct {
	of   *percentiles
	vals []float64
}

func (a *percentileAcc) add(v bson.RawValue) error {
	if number.Is(v) && !isNaN(v) {
		a.vals = append(a.vals, number.Float(v))
	}
	return nil
}

func (a *percentileAcc) result() bson.RawValue {
	slices.Sort(a.vals)
	var b rawdoc.Builder
	for _, p := range a.of.p {
		b.Push(a.of.at(a.vals, p))
	}
	if a.of.median {
		_, v, _ := rawdoc.First(b.Bytes())
		return v
	}
	return value.Array(b.Bytes())
}

// at picks from sorted values: the smallest that p of them do not exceed, or
// the point between two.
func (pc *percentiles) at(sorted []float64, p float64) bson.RawValue {
	n := len(sorted)
	if n == 0 {
		return value.Null()
	}
	if !pc.continuous {
		return value.Double(sorted[max(0, min(n-1, int(math.Ceil(p*float64(n)))-1))])
	}
	rank := p * float64(n-1)
	lo, hi := int(math.Floor(rank)), int(math.Ceil(rank))
	if lo == hi {
		return value.Double(sorted[lo])
	}
	return value.Double((float64(hi)-rank)*sorted[lo] + (rank-float64(lo))*sorted[hi])
}

// compilePercentileExpr compiles $percentile and $median over the numbers of
// an array, or one number.
func compilePercentileExpr(op string, arg bson.RawValue) (evalFunc, error) {
	pc, err := parsePercentiles(op, arg)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		in, err := pc.input(c)
		if err != nil {
			return in, err
		}
		acc := &percentileAcc{of: pc}
		vals := []bson.RawValue{in}
		if in.Type == bson.TypeArray {
			vals = rawdoc.Values(in.Value)
		}
		for _, v := range vals {
			if err := acc.add(v); err != nil {
				return v, err
			}
		}
		return acc.result(), nil
	}, nil
}
