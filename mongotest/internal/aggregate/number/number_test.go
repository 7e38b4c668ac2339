package number_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func dec(t *testing.T, s string) bson.RawValue {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	require.NoError(t, err)
	return value.Decimal(d)
}

func TestTheWiderTypeWins(t *testing.T) {
	for _, tt := range []struct{ a, b, want bson.RawValue }{
		{value.Int32(1), value.Int32(2), value.Int32(3)},
		{value.Int32(math.MaxInt32), value.Int32(1), value.Int64(1 << 31)},
		{value.Int32(1), value.Int64(2), value.Int64(3)},
		{value.Int64(1), value.Double(0.5), value.Double(1.5)},
		{value.Double(0.1), dec(t, "0.2"), dec(t, "0.300000000000000")},
		{dec(t, "1.10"), value.Int32(1), dec(t, "2.10")},
	} {
		got, fits := number.Add(tt.a, tt.b)
		assert.True(t, fits)
		assert.Equal(t, tt.want.Type, got.Type, "%v + %v", tt.a, tt.b)
		assert.True(t, value.Equal(tt.want, got), "%v + %v = %v", tt.a, tt.b, got)
	}
	_, fits := number.Add(value.Int64(math.MaxInt64), value.Int32(1))
	assert.False(t, fits)
	_, fits = number.Mul(value.Int64(math.MinInt64), value.Int32(-1))
	assert.False(t, fits)
}

func TestDecimals(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  bson.RawValue
		want string
	}{
		{"a quotient is exact if it can be", number.Div(dec(t, "1"), dec(t, "8")), "0.125"},
		{"a quotient has 34 digits", number.Div(dec(t, "1"), dec(t, "3")), "0.3333333333333333333333333333333333"},
		{"rounding is half to even", number.Decimal(dec(t, "2.5")).Quantize(0, number.HalfEven).Value(), "2"},
		{"floor", number.Decimal(dec(t, "-2.1")).Quantize(0, number.Floor).Value(), "-3"},
		{"ceil", number.Decimal(dec(t, "2.1")).Quantize(0, number.Ceil).Value(), "3"},
		{"trunc", number.Decimal(dec(t, "-2.9")).Quantize(0, number.Down).Value(), "-2"},
		{"infinity", number.Div(dec(t, "-Infinity"), dec(t, "2")), "-Infinity"},
		{"nan", number.Div(dec(t, "0"), dec(t, "0")), "NaN"},
		{"remainder", number.Mod(dec(t, "7.5"), dec(t, "2")), "1.5"},
	} {
		assert.Equal(t, tt.want, tt.got.Decimal128().String(), tt.name)
	}
}

func TestExactWantsWholeNumbers(t *testing.T) {
	for _, v := range []bson.RawValue{value.Int32(3), value.Int64(3), value.Double(3), dec(t, "3.0")} {
		i, ok := number.Exact(v)
		assert.True(t, ok)
		assert.EqualValues(t, 3, i)
	}
	for _, v := range []bson.RawValue{value.Double(3.5), dec(t, "3.1"), value.Double(math.NaN()), value.Double(math.Inf(1)), dec(t, "1E+40"), dec(t, "1E+6000"), value.String("3")} {
		_, ok := number.Exact(v)
		assert.False(t, ok, v.String())
	}
}

func TestIntegersAgreeWithGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int32().Draw(t, "a"), rapid.Int32().Draw(t, "b")
		for _, op := range []struct {
			got  func(a, b bson.RawValue) (bson.RawValue, bool)
			want int64
		}{{number.Add, int64(a) + int64(b)}, {number.Sub, int64(a) - int64(b)}, {number.Mul, int64(a) * int64(b)}} {
			v, fits := op.got(value.Int32(a), value.Int32(b))
			got, _ := number.Int(v)
			narrow := op.want >= math.MinInt32 && op.want <= math.MaxInt32
			if !fits || got != op.want || narrow != (v.Type == bson.TypeInt32) {
				t.Fatalf("%d, %d: got %v, want %d", a, b, v, op.want)
			}
		}
	})
}
