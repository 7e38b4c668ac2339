package keyhash

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func value(t *testing.T, v any) bson.RawValue {
	t.Helper()
	doc, err := bson.Marshal(bson.D{{"v", v}})
	require.NoError(t, err)
	return bson.Raw(doc).Lookup("v")
}

func decimal(t *testing.T, s string) bson.Decimal128 {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	require.NoError(t, err)
	return d
}

func objectID(t *testing.T, s string) bson.ObjectID {
	t.Helper()
	id, err := bson.ObjectIDFromHex(s)
	require.NoError(t, err)
	return id
}

func TestShardIsTheServersHash(t *testing.T) {
	tests := []struct {
		name string
		v    any
		want int64
	}{
		{"int32 42", int32(42), -944302157085130861},
		{"zero", int32(0), 4854801880128277513},
		{"one", int32(1), 5902408780260971510},
		{"one as long", int64(1), 5902408780260971510},
		{"one as double", 1.0, 5902408780260971510},
		{"1.9 is cut to one", 1.9, 5902408780260971510},
		{"one as decimal", decimal(t, "1.00"), 5902408780260971510},
		{"decimals round half to even", decimal(t, "1.5"), 848411777775835583},
		{"minus one", int32(-1), 1140205862565771219},
		{"two", int32(2), 848411777775835583},
		{"hundred", int32(100), -5582987830488433087},
		{"NaN is zero", math.NaN(), 4854801880128277513},
		{"null", nil, 2338878944348059895},
		{"string", "a", 2780795045148116090},
		{"object id", objectID(t, "507f1f77bcf86cd799439011"), -3048436677993134862},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, Shard(value(t, tt.v)))
		})
	}
}

func TestIDOfEqualValuesIsEqual(t *testing.T) {
	tests := []struct {
		name   string
		values []any
	}{
		{"one", []any{int32(1), int64(1), 1.0, decimal(t, "1"), decimal(t, "1.00"), decimal(t, "10E-1")}},
		{"zero", []any{int32(0), 0.0, math.Copysign(0, -1), decimal(t, "0E+30"), decimal(t, "-0")}},
		{"beyond int64", []any{1e30, decimal(t, "1E+30"), math.Inf(1), decimal(t, "Infinity")}},
		{"2^63", []any{float64(1 << 63), decimal(t, "9223372036854775808")}},
		{"far below int64", []any{-1e30, decimal(t, "-1E+30"), decimal(t, "-1E+6000")}},
		{"NaN", []any{math.NaN(), decimal(t, "NaN")}},
		{"string and symbol", []any{"a", bson.Symbol("a")}},
		{"null and undefined", []any{nil, bson.Undefined{}}},
		{"in documents", []any{bson.D{{"a", int32(1)}, {"b", bson.A{2.0}}}, bson.D{{"a", int64(1)}, {"b", bson.A{decimal(t, "2")}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range tt.values {
				assert.Equal(t, ID(value(t, tt.values[0])), ID(value(t, v)), "%#v", v)
			}
		})
	}
}

func TestIDTellsOrdinaryKeysApart(t *testing.T) {
	seen := map[uint64]any{}
	for i := range int32(10000) {
		h := ID(value(t, i))
		_, again := seen[h]
		require.False(t, again, "%d", i)
		seen[h] = i
	}
	for _, v := range []any{"1", true, bson.D{{"a", 1}}, bson.D{{"b", 1}}, bson.A{1}, bson.DateTime(1), bson.Timestamp{I: 1}} {
		h := ID(value(t, v))
		_, again := seen[h]
		require.False(t, again, "%#v", v)
		seen[h] = v
	}
}

func TestCollatedValuesShareOneHash(t *testing.T) {
	assert.Equal(t, Collated(value(t, "a")), Collated(value(t, "A")))
	assert.Equal(t, Collated(value(t, bson.D{{"x", "a"}})), Collated(value(t, "b")))
	assert.NotEqual(t, Collated(value(t, 1)), Collated(value(t, 2)))
}

func TestExtractKey(t *testing.T) {
	doc := bson.D{{"_id", int32(7)}, {"a", bson.D{{"b", "x"}}}, {"n", int32(1)}}
	tests := []struct {
		name          string
		pattern, want bson.D
	}{
		{"_id", bson.D{{"_id", 1}}, bson.D{{"_id", int32(7)}}},
		{"dotted", bson.D{{"a.b", 1}, {"_id", 1}}, bson.D{{"a.b", "x"}, {"_id", int32(7)}}},
		{"missing is null", bson.D{{"z", 1}, {"a.z", 1}, {"n.z", 1}}, bson.D{{"z", nil}, {"a.z", nil}, {"n.z", nil}}},
		{"hashed", bson.D{{"n", "hashed"}}, bson.D{{"n", int64(5902408780260971510)}}},
		{"hashed missing", bson.D{{"z", "hashed"}}, bson.D{{"z", int64(2338878944348059895)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := bson.Marshal(doc)
			require.NoError(t, err)
			pattern, err := bson.Marshal(tt.pattern)
			require.NoError(t, err)
			want, err := bson.Marshal(tt.want)
			require.NoError(t, err)
			assert.Equal(t, bson.Raw(want), ExtractKey(raw, pattern))
		})
	}
}

// Hostile bytes must never panic.
func FuzzHashes(f *testing.F) {
	f.Add(byte(bson.TypeEmbeddedDocument), []byte{5, 0, 0, 0, 0})
	f.Add(byte(bson.TypeDecimal128), []byte{1})
	f.Add(byte(bson.TypeCodeWithScope), []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(_ *testing.T, kind byte, data []byte) {
		v := bson.RawValue{Type: bson.Type(kind), Value: data}
		ID(v)
		Collated(v)
		Shard(v)
	})
}
