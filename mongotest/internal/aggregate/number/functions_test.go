package number_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
)

func TestDecimalFunctions(t *testing.T) {
	d := func(s string) number.Dec { return number.Decimal(dec(t, s)) }
	for _, tt := range []struct {
		name string
		got  number.Dec
		want string
	}{
		{"sqrt with all digits", d("2").Sqrt(), "1.414213562373095048801688724209698"},
		{"sqrt is exact if it can be", d("1.21").Sqrt(), "1.1"},
		{"exp", d("1").Exp(), "2.718281828459045235360287471352662"},
		{"exp of zero", d("0").Exp(), "1"},
		{"exp overflows", d("1E+6000").Exp(), "Infinity"},
		{"ln", d("10").Ln(), "2.302585092994045684017991454684364"},
		{"log10 of a power", d("1E+12").Log10(), "12"},
		{"pow has all digits", d("1.5").Pow(d("2")), "2.250000000000000000000000000000000"},
		{"pow of a negative", d("-2").Pow(d("3")), "-8.000000000000000000000000000000000"},
		{"quantize pads", d("1.1").Quantize(3, number.Down), "1.100"},
		{"quantize without room", d("1E+6000").Quantize(0, number.Down), "NaN"},
		{"zero keeps its sign", d("-0.4").Quantize(0, number.Down), "-0"},
		{"atan2", number.Atan2(d("1"), d("-1")), "2.356194490192344928846982537459627"},
		{"degrees", d("3.141592653589793238462643383279503").Degrees(), "180.0000000000000000000000000000000"},
	} {
		assert.Equal(t, tt.want, tt.got.Value().Decimal128().String(), tt.name)
	}
}

func TestTrigonometryAgreesWithDoubles(t *testing.T) {
	for _, name := range []string{"$sin", "$cos", "$tan", "$asin", "$acos", "$atan", "$sinh", "$cosh", "$tanh", "$asinh", "$atanh"} {
		f, ok := number.Trigonometric(name)
		assert.True(t, ok, name)
		for _, x := range []string{"-0.9", "-0.25", "0", "0.5", "0.75"} {
			v := number.Decimal(dec(t, x))
			assert.InDelta(t, f.Float(number.Float(dec(t, x))), number.Float(f.Dec(v).Value()), 1e-14, "%s(%s)", name, x)
		}
	}
}
