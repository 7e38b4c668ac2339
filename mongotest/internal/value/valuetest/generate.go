// Package valuetest generates random BSON values for property tests. Only tests
// import it.
package valuetest

import (
	"math"
	"math/big"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Value generates values of every BSON type, nested up to depth levels. Numbers
// and strings are chosen so that equal and nearly equal ones are frequent.
func Value(depth int) *rapid.Generator[bson.RawValue] {
	kinds := []*rapid.Generator[bson.RawValue]{
		Number(), Number(), Text(), fixed(), sized(),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.Map(Document(depth-1), value.Doc),
			rapid.Map(rapid.SliceOfN(Value(depth-1), 0, 3), func(vs []bson.RawValue) bson.RawValue {
				return value.ArrayOf(vs...)
			}),
			rapid.Map(Document(depth-1), func(scope bson.Raw) bson.RawValue {
				v := bsoncore.AppendCodeWithScope(nil, "f()", scope)
				return bson.RawValue{Type: bson.TypeCodeWithScope, Value: v}
			}),
		)
	}
	return rapid.OneOf(kinds...)
}

// Document generates documents of up to three fields whose values nest up to
// depth levels. Names may repeat and may be empty.
func Document(depth int) *rapid.Generator[bson.Raw] {
	return rapid.Custom(func(t *rapid.T) bson.Raw {
		i, dst := bsoncore.AppendDocumentStart(nil)
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			name := rapid.SampledFrom([]string{"a", "b", "ab", "", "0"}).Draw(t, "name")
			dst = value.Append(dst, name, Value(depth).Draw(t, "value"))
		}
		doc, err := bsoncore.AppendDocumentEnd(dst, i)
		if err != nil {
			panic(err) // the driver promises that the index is right
		}
		return doc
	})
}

// Number generates numbers of the four types around the places where their
// encodings change.
func Number() *rapid.Generator[bson.RawValue] {
	return rapid.OneOf(
		rapid.Map(rapid.Int32(), value.Int32),
		rapid.Map(rapid.Int32Range(-3, 3), value.Int32),
		rapid.Map(rapid.Int64(), value.Int64),
		rapid.Map(rapid.SampledFrom(edges()), func(f float64) bson.RawValue { return value.Double(f) }),
		rapid.Map(rapid.Float64(), value.Double),
		rapid.Custom(nearEdge),
		rapid.Custom(nearEdge),
		rapid.Map(rapid.SampledFrom([]string{
			"NaN", "Infinity", "-Infinity", "0", "-0", "0E+6111", "-0E-6176", "1E-6176", "9.999999999999999999999999999999999E+6144", "1.0", "1.00", "-1E+3",
		}), decimal),
		rapid.Custom(func(t *rapid.T) bson.RawValue {
			c := new(big.Int).SetUint64(rapid.Uint64().Draw(t, "coefficient"))
			return value.DecimalOf(rapid.Bool().Draw(t, "negative"), c, rapid.IntRange(-40, 40).Draw(t, "exponent"))
		}),
	)
}

func decimal(s string) bson.RawValue {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		panic(err)
	}
	return value.Decimal(d)
}

func edges() []float64 {
	pos := []float64{
		0, 1, 0.5, 1.5, 2, 0x1p-1074, 0x1p-383, 0x1p-255, math.Nextafter(0x1p-255, 0), 0.1, 1 << 53, 1<<53 + 2, 1 << 56, 1<<55 + 0.5, 1 << 62, 1 << 63, 1 << 64,
		math.Nextafter(1<<63, 0), math.Nextafter(1, 0), math.Nextafter(1, 2), math.MaxFloat64, math.Inf(1), 127, 128, 255, 256, 127.75, 32767.5,
	}
	out := []float64{math.NaN()}
	for _, f := range pos {
		out = append(out, f, -f)
	}
	return out
}

// nearEdge generates a decimal or long that equals a double, or lies next to one.
func nearEdge(t *rapid.T) bson.RawValue {
	f := rapid.SampledFrom(edges()).Draw(t, "edge")
	if rapid.Bool().Draw(t, "long") {
		i, _ := value.AsInt64(value.Double(f))
		return value.Int64(i + rapid.Int64Range(-2, 2).Draw(t, "off"))
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return decimal("NaN")
	}
	digits := rapid.IntRange(1, 34).Draw(t, "digits")
	text := new(big.Float).SetFloat64(f).Text('e', digits-1)
	d := decimal(text)
	p := value.Decimal128(d)
	off := rapid.Int64Range(0, 2).Draw(t, "off")
	if c := p.Coefficient.Add(p.Coefficient, big.NewInt(off)); c.Cmp(value.Pow10(34)) < 0 {
		return value.DecimalOf(p.Negative, c, p.Exponent)
	}
	return d
}

// Text generates strings, symbols and code, with NULs inside.
func Text() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "\x00", "\xff", "é", "\x01"}), 0, 4).Draw(t, "text")
		v := value.String(strings.Join(parts, ""))
		v.Type = rapid.SampledFrom([]bson.Type{
			bson.TypeString, bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript,
		}).Draw(t, "type")
		return v
	})
}

func fixed() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			return value.MinKey()
		case 1:
			return value.MaxKey()
		case 2:
			return value.Null()
		case 3:
			return value.Undefined()
		case 4:
			return value.Bool(true)
		case 5:
			return value.Bool(false)
		case 6:
			return value.DateTime(rapid.Int64().Draw(t, "date"))
		case 7:
			return value.Timestamp(bson.Timestamp{T: rapid.Uint32().Draw(t, "t"), I: rapid.Uint32().Draw(t, "i")})
		default:
			return value.ObjectID(bson.ObjectID(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "id")))
		}
	})
}

func sized() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		small := rapid.SampledFrom([]string{"", "a", "b", "aa", "i"})
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			n := rapid.SampledFrom([]int{0, 1, 2, 16, 254, 255, 256}).Draw(t, "size")
			b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "data")
			return value.Binary(rapid.SampledFrom([]byte{0, 3, 4, 0x80}).Draw(t, "subtype"), b)
		case 1:
			return value.Regex(small.Draw(t, "pattern"), small.Draw(t, "options"))
		case 2:
			id := bson.ObjectID{byte(rapid.IntRange(0, 2).Draw(t, "id"))}
			return bson.RawValue{Type: bson.TypeDBPointer, Value: bsoncore.AppendDBPointer(nil, small.Draw(t, "ns"), id)}
		default:
			return value.Binary(0, []byte(small.Draw(t, "data")))
		}
	})
}
