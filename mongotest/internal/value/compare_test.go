package value_test

import (
	"cmp"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

func dec(t testing.TB, s string) bson.RawValue {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	require.NoError(t, err)
	return value.Decimal(d)
}

// Each group is one place in the order: its members are equal, and less than
// all of the next group.
func TestOrderOfAllTypes(t *testing.T) {
	typed := func(t bson.Type, b []byte) bson.RawValue { return bson.RawValue{Type: t, Value: b} }
	groups := [][]bson.RawValue{
		{value.MinKey()},
		{{}, value.Undefined()},
		{value.Null()},
		{value.Double(math.NaN()), dec(t, "NaN"), dec(t, "-NaN")},
		{value.Double(math.Inf(-1)), dec(t, "-Infinity")},
		{dec(t, "-1E+400")},
		{value.Int64(math.MinInt64), value.Double(-(1 << 63))},
		{value.Int32(-1), value.Double(-1), dec(t, "-1.0")},
		{value.Double(-5e-324)},
		{dec(t, "-1E-6176")},
		{value.Int32(0), value.Double(0), value.Double(math.Copysign(0, -1)), dec(t, "0E+5"), dec(t, "-0")},
		{dec(t, "0.1")},
		{value.Double(0.1)}, // a little above one tenth
		{value.Int64(1<<53 + 1), dec(t, "9007199254740993")},
		{value.Double(1<<53 + 2)},
		{value.Int64(math.MaxInt64)},
		{dec(t, "9223372036854775807.5")},
		{value.Double(1 << 63)},
		{value.Double(math.MaxFloat64)},
		{dec(t, "1E+6000")},
		{value.Double(math.Inf(1)), dec(t, "Infinity")},
		{value.String("")},
		{value.String("a"), typed(bson.TypeSymbol, value.String("a").Value)},
		{value.String("a\x00")},
		{value.String("b")},
		{value.Doc(value.D())},
		{value.Doc(value.D("b", 1)), value.Doc(value.D("b", 1.0))},
		{value.Doc(value.D("b", 1, "a", 0))},
		{value.Doc(value.D("a", "x"))}, // a string sorts after a number whatever the names
		{value.A()},
		{value.A(1)},
		{value.A(1, nil)},
		{value.Binary(0, []byte{9})},
		{value.Binary(5, []byte{0})},
		{value.Binary(0, []byte{0, 0})},
		{value.ObjectID(bson.ObjectID{})},
		{value.Bool(false)},
		{value.Bool(true)},
		{value.DateTime(-1)},
		{value.DateTime(0)},
		{value.Timestamp(bson.Timestamp{T: 1, I: 9})},
		{value.Timestamp(bson.Timestamp{T: 1 << 31, I: 0})},
		{value.Regex("a", "")},
		{value.Regex("a", "i")},
		{typed(bson.TypeDBPointer, bsoncore.AppendDBPointer(nil, "z", bson.ObjectID{}))},
		{typed(bson.TypeDBPointer, bsoncore.AppendDBPointer(nil, "aa", bson.ObjectID{}))},
		{typed(bson.TypeJavaScript, value.String("f").Value)},
		{typed(bson.TypeCodeWithScope, bsoncore.AppendCodeWithScope(nil, "f", value.D("a", 1)))},
		{typed(bson.TypeCodeWithScope, bsoncore.AppendCodeWithScope(nil, "f", value.D("a", 2)))},
		{value.MaxKey()},
	}
	for i, ga := range groups {
		for j, gb := range groups {
			for _, a := range ga {
				for _, b := range gb {
					assert.Equal(t, cmp.Compare(i, j), cmp.Compare(value.Compare(a, b), 0), "%v %v", a, b)
				}
			}
		}
	}
}

func TestNumbersCompareByTheirExactValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := valuetest.Number().Draw(t, "a"), valuetest.Number().Draw(t, "b")
		if !value.IsFinite(a) || !value.IsFinite(b) {
			return
		}
		if got, want := value.Compare(a, b), value.Rat(a).Cmp(value.Rat(b)); got != want {
			t.Fatalf("%v against %v: %d, want %d", a, b, got, want)
		}
	})
}

func TestDecimalsComeApartAndTogether(t *testing.T) {
	for _, s := range []string{"0", "-0E+6111", "1.00", "-123E-6176", "9.999999999999999999999999999999999E+6144"} {
		v := dec(t, s)
		p := value.Decimal128(v)
		assert.True(t, value.Identical(v, value.DecimalOf(p.Negative, p.Coefficient, p.Exponent)), s)
	}
	big34 := new(big.Int).Set(value.Pow10(34))
	assert.Equal(t, 0, value.Decimal128(value.DecimalOf(false, big34, 0)).Coefficient.Sign(), "35 digits are not canonical")
}

func TestConversions(t *testing.T) {
	ints := []struct {
		v    bson.RawValue
		want int64
	}{
		{value.Double(-1.9), -1},
		{value.Double(1e300), math.MaxInt64},
		{dec(t, "-1E+40"), math.MinInt64},
		{dec(t, "12.9"), 13},
		{dec(t, "12.5"), 12},
		{dec(t, "-13.5"), -14},
		{dec(t, "-0.4"), 0},
		{value.Double(math.NaN()), 0},
		{dec(t, "-Infinity"), math.MinInt64},
	}
	for _, tt := range ints {
		got, ok := value.AsInt64(tt.v)
		assert.True(t, ok)
		assert.Equal(t, tt.want, got, "%v", tt.v)
	}
	_, ok := value.AsInt64(value.String("1"))
	assert.False(t, ok)
	f, ok := value.AsFloat64(dec(t, "0.1"))
	assert.True(t, ok)
	assert.InDelta(t, 0.1, f, 0)

	for _, v := range []bson.RawValue{{}, value.Null(), value.Undefined(), value.Bool(false), value.Int64(0), value.Double(0), dec(t, "0E+3")} {
		assert.False(t, value.Truthy(v), "%v", v)
	}
	for _, v := range []bson.RawValue{value.Bool(true), value.Int32(2), value.Double(math.NaN()), value.String(""), value.A(), dec(t, "NaN")} {
		assert.True(t, value.Truthy(v), "%v", v)
	}
}
