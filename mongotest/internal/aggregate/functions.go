package aggregate

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var functionOps = map[string]plain{
	"$sqrt":  {1, 1, numeric("$sqrt", sqrt)},
	"$exp":   {1, 1, numeric("$exp", lifted(math.Exp, number.Dec.Exp))},
	"$ln":    {1, 1, numeric("$ln", logarithm("$ln", 28766, ln, number.Dec.Ln))},
	"$log10": {1, 1, numeric("$log10", logarithm("$log10", 28761, log10, number.Dec.Log10))},
	"$log":   {2, 2, logBase},
	"$pow":   {2, 2, pow},
}

// lifted makes a function of BSON numbers: a decimal gives a decimal, all
// others a double.
func lifted(f func(float64) float64, dec func(number.Dec) number.Dec) func(bson.RawValue) (bson.RawValue, error) {
	return func(v bson.RawValue) (bson.RawValue, error) {
		if v.Type == bson.TypeDecimal128 {
			return dec(number.Decimal(v)).Value(), nil
		}
		return value.Double(f(number.Float(v))), nil
	}
}

func sqrt(v bson.RawValue) (bson.RawValue, error) {
	if compare(v, value.Int32(0)) < 0 && !isNaN(v) {
		return v, mongoerr.New(28714, "$sqrt's argument must be greater than or equal to 0")
	}
	return lifted(math.Sqrt, number.Dec.Sqrt)(v)
}

func isNaN(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeDouble:
		return math.IsNaN(v.Double())
	case bson.TypeDecimal128:
		return v.Decimal128().IsNaN()
	default:
		return false
	}
}

// positive reports whether a logarithm of v exists; NaN has itself.
func positive(v bson.RawValue) bool { return compare(v, value.Int32(0)) > 0 || isNaN(v) }

func logarithm(name string, code mongoerr.Code, f func(float64) float64, dec func(number.Dec) number.Dec) func(bson.RawValue) (bson.RawValue, error) {
	return func(v bson.RawValue) (bson.RawValue, error) {
		if !positive(v) {
			return v, mongoerr.New(code, "%s's argument must be a positive number, but is %s", name, rawdoc.Render(v))
		}
		if isNaN(v) {
			return value.Double(math.NaN()), nil
		}
		return lifted(f, dec)(v)
	}
}

// ln is right for the smallest doubles too.
func ln(x float64) float64 {
	frac, exp := math.Frexp(x)
	if exp > -1000 || x == 0 {
		return math.Log(x)
	}
	return math.Log(frac) + float64(exp)*math.Ln2
}

// log10 is exact for the powers of ten.
func log10(x float64) float64 {
	r := ln(x) / math.Ln10
	if n := math.Round(r); math.Abs(r-n) < 1e-9 && math.Pow10(int(n)) == x {
		return n
	}
	return r
}

func logBase(args []bson.RawValue) (bson.RawValue, error) {
	x, base := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case !number.Is(x):
		return x, mongoerr.New(28756, "$log's argument must be numeric, not %s", rawdoc.TypeName(x.Type))
	case !number.Is(base):
		return x, mongoerr.New(28757, "$log's base must be numeric, not %s", rawdoc.TypeName(base.Type))
	case isNaN(x) || isNaN(base):
		return value.Double(math.NaN()), nil
	case !positive(x):
		return x, mongoerr.New(28758, "$log's argument must be a positive number, but is %s", rawdoc.Render(x))
	case !positive(base) || compare(base, value.Int32(1)) == 0:
		return x, mongoerr.New(28759, "$log's base must be a positive number not equal to 1, but is %s", rawdoc.Render(base))
	case number.Wider(x.Type, base.Type) == bson.TypeDecimal128:
		return number.Decimal(x).Log(number.Decimal(base)).Value(), nil
	}
	return value.Double(ln(number.Float(x)) / ln(number.Float(base))), nil
}

func pow(args []bson.RawValue) (bson.RawValue, error) {
	base, exp := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case !number.Is(base):
		return base, mongoerr.New(28762, "$pow's base must be numeric, not %s", rawdoc.TypeName(base.Type))
	case !number.Is(exp):
		return exp, mongoerr.New(28763, "$pow's exponent must be numeric, not %s", rawdoc.TypeName(exp.Type))
	case number.IsZero(base) && compare(exp, value.Int32(0)) < 0 && !isNaN(exp):
		return base, mongoerr.New(28764, "$pow cannot take a base of 0 and a negative exponent")
	}
	t := number.Wider(base.Type, exp.Type)
	if t == bson.TypeDecimal128 {
		return number.Decimal(base).Pow(number.Decimal(exp)).Value(), nil
	}
	f := math.Pow(number.Float(base), number.Float(exp))
	if t == bson.TypeDouble {
		return value.Double(f), nil
	}
	b, _ := number.Int(base)
	e, _ := number.Int(exp)
	if i, ok := integerPower(b, e); ok {
		return number.Integer(i, t), nil
	}
	return value.Double(f), nil
}

// integerPower is exact or not ok.
func integerPower(base, exp int64) (int64, bool) {
	switch {
	case base == 1 || exp == 0:
		return 1, true
	case base == -1:
		return 1 - 2*(exp&1), true
	case exp < 0:
		return 0, false
	case base == 0:
		return 0, true
	}
	r := value.Int64(1)
	for range exp {
		var fits bool
		if r, fits = number.Mul(r, value.Int64(base)); !fits {
			return 0, false
		}
	}
	return r.Int64(), true
}

// compileSigmoid takes one expression; an array is that, no list of operands.
func compileSigmoid(_ string, arg bson.RawValue) (evalFunc, error) {
	fn, err := compile(arg)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		x, err := fn(c)
		if err != nil {
			return x, err
		}
		return sigmoid(x)
	}, nil
}

// sigmoid is 1 / (1 + e^-x), and refuses what those operators refuse.
func sigmoid(v bson.RawValue) (bson.RawValue, error) {
	x, err := multiply([]bson.RawValue{value.Int32(-1), v})
	if err != nil || nullish(x) {
		return x, err
	}
	if x, err = lifted(math.Exp, number.Dec.Exp)(x); err != nil {
		return x, err
	}
	sum, _ := number.Add(value.Int32(1), x)
	return number.Div(value.Int32(1), sum), nil
}
