package aggregate

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func abs(v bson.RawValue) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeDouble:
		return value.Double(math.Abs(v.Double())), nil
	case bson.TypeDecimal128:
		if d := number.Decimal(v); d.Negative() {
			return d.Neg().Value(), nil
		}
		return v, nil
	default:
	}
	i, _ := number.Int(v)
	switch {
	case i >= 0:
		return v, nil
	case i == math.MinInt64:
		return v, mongoerr.New(28680, "can't take $abs of long long min")
	}
	return number.Integer(-i, v.Type), nil
}

func rounded(dir number.Direction, f func(float64) float64) func(bson.RawValue) (bson.RawValue, error) {
	return func(v bson.RawValue) (bson.RawValue, error) {
		switch v.Type {
		case bson.TypeDouble:
			return value.Double(f(v.Double())), nil
		case bson.TypeDecimal128:
			return number.Decimal(v).Quantize(0, dir).Value(), nil
		default:
			return v, nil
		}
	}
}

// round makes $round or $trunc; whole is its case of no decimal places.
func round(name string, dir number.Direction, whole func(float64) float64) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		v := args[0]
		if anyNull(args) {
			return value.Null(), nil
		}
		if !number.Is(v) {
			return v, mongoerr.New(51081, "%s only supports numeric types, not %s", name, rawdoc.TypeName(v.Type))
		}
		places := 0
		if len(args) == 2 {
			var err error
			if places, err = precision(name, args[1]); err != nil {
				return v, err
			}
		}
		switch v.Type {
		case bson.TypeDecimal128:
			if q := number.Decimal(v).Quantize(places, dir); !q.IsNaN() {
				return q.Value(), nil
			}
			return v, nil // has no digits that far behind the point, or none at all
		case bson.TypeDouble:
			return value.Double(roundDouble(v, places, dir, whole)), nil
		default:
			return roundInteger(name, v, places, dir)
		}
	}
}

// precision reads the number of decimal places.
func precision(name string, v bson.RawValue) (int, error) {
	if !number.Is(v) {
		return 0, mongoerr.New(16004, "can't convert from BSON type %s to long", rawdoc.TypeName(v.Type))
	}
	if _, fits := number.Int(v); !fits && v.Type == bson.TypeDouble {
		return 0, mongoerr.New(31109, "Can't coerce out of range value %s to long", rawdoc.Render(v))
	}
	n, integral := number.Exact(v)
	if !integral {
		return 0, mongoerr.New(51082, "precision argument to  %s must be a integral value", name)
	}
	if n < -20 || n > 100 {
		return 0, mongoerr.New(51083, "cannot apply %s with precision value %d value must be in [-20, 100]", name, n)
	}
	return int(n), nil
}

func roundDouble(v bson.RawValue, places int, dir number.Direction, whole func(float64) float64) float64 {
	f := v.Double()
	d := number.Precise(v)
	if places == 0 || !d.IsFinite() {
		return whole(f)
	}
	q := d.Quantize(places, dir)
	if q.IsNaN() { // has no digits that far behind the point
		return f
	}
	return math.Copysign(number.Float(q.Value()), f)
}

func roundInteger(name string, v bson.RawValue, places int, dir number.Direction) (bson.RawValue, error) {
	if places >= 0 {
		return v, nil
	}
	i, ok := number.Int(number.Decimal(v).Quantize(places, dir).Value())
	if !ok {
		return v, mongoerr.New(51080, "invalid conversion from Decimal128 result in %s resulting from arguments: [%s, %d]", name, rawdoc.Render(v), places)
	}
	return number.Integer(i, v.Type), nil
}
