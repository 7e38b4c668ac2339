package aggregate

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// domain is where a function is defined, with its ends unless open.
type domain struct {
	min, max float64
	open     bool
}

func (d domain) has(v bson.RawValue) bool {
	lo, hi := compare(v, value.Double(d.min)), compare(v, value.Double(d.max))
	if d.open {
		return lo > 0 && hi < 0
	}
	return lo >= 0 && hi <= 0
}

func (d domain) String() string {
	lo, hi := rawdoc.FormatDouble(d.min, false), rawdoc.FormatDouble(d.max, false)
	if d.open {
		return "(" + lo + "," + hi + ")"
	}
	return "[" + lo + "," + hi + "]"
}

func trigonometricOps() map[string]plain {
	inf := math.Inf(1)
	ops := map[string]plain{
		"$atan2":            {2, 2, atan2},
		"$degreesToRadians": {1, 1, numeric("$degreesToRadians", lifted(func(x float64) float64 { return x * (math.Pi / 180) }, number.Dec.Radians))},
		"$radiansToDegrees": {1, 1, numeric("$radiansToDegrees", lifted(func(x float64) float64 { return x * (180 / math.Pi) }, number.Dec.Degrees))},
	}
	domains := map[string]domain{
		"$sin": {-inf, inf, true}, "$cos": {-inf, inf, true}, "$tan": {-inf, inf, true},
		"$asin": {-1, 1, false}, "$acos": {-1, 1, false}, "$atan": {-inf, inf, false},
		"$sinh": {-inf, inf, false}, "$cosh": {-inf, inf, false}, "$tanh": {-inf, inf, false},
		"$asinh": {-inf, inf, false}, "$acosh": {1, inf, false}, "$atanh": {-1, 1, false},
	}
	for name, d := range domains {
		f, _ := number.Trigonometric(name)
		apply := lifted(f.Float, f.Dec)
		ops[name] = plain{1, 1, numeric(name, func(v bson.RawValue) (bson.RawValue, error) {
			if !isNaN(v) && !d.has(v) {
				return v, mongoerr.New(50989, "cannot apply %s to %s, value must be in %s", name, rawdoc.Render(v), d)
			}
			return apply(v)
		})}
	}
	return ops
}

func atan2(args []bson.RawValue) (bson.RawValue, error) {
	y, x := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case !number.Is(y):
		return y, mongoerr.New(51044, "$atan2 only supports numeric types, not %s and %s", rawdoc.TypeName(y.Type), rawdoc.TypeName(x.Type))
	case !number.Is(x):
		return x, mongoerr.New(51045, "$atan2 only supports numeric types, not %s and %s", rawdoc.TypeName(y.Type), rawdoc.TypeName(x.Type))
	case number.Wider(y.Type, x.Type) == bson.TypeDecimal128:
		return number.Atan2(number.Decimal(y), number.Decimal(x)).Value(), nil
	}
	return value.Double(math.Atan2(number.Float(y), number.Float(x))), nil
}
