package hashkey_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The vectors of server-facts 5.5; that of 42 is the server's own self-check.
func TestHashesAreTheServers(t *testing.T) {
	id, err := bson.ObjectIDFromHex("507f1f77bcf86cd799439011")
	require.NoError(t, err)
	tests := []struct {
		v    bson.RawValue
		want int64
	}{
		{value.Int32(42), -944302157085130861},
		{value.Int32(0), 4854801880128277513},
		{value.Int32(1), 5902408780260971510},
		{value.Int32(-1), 1140205862565771219},
		{value.Int32(2), 848411777775835583},
		{value.Int32(100), -5582987830488433087},
		{value.Null(), 2338878944348059895},
		{bson.RawValue{}, 2338878944348059895},
		{value.String("a"), 2780795045148116090},
		{value.ObjectID(id), -3048436677993134862},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, hashkey.Hash(tt.v), "%v", tt.v)
	}
}

func TestNumbersHashByTheirWholePart(t *testing.T) {
	dec := func(s string) bson.RawValue {
		d, err := bson.ParseDecimal128(s)
		require.NoError(t, err)
		return value.Decimal(d)
	}
	tests := []struct{ a, b bson.RawValue }{
		{value.Double(1), value.Int32(1)},
		{value.Double(1.9), value.Int32(1)},
		{value.Double(-1.9), value.Int32(-1)},
		{value.Int64(1), value.Int32(1)},
		{dec("1.0"), value.Int32(1)},
		{dec("1.5"), value.Int32(2)}, // decimals round half to even
		{dec("2.5"), value.Int32(2)},
		{dec("-2.5"), value.Int32(-2)},
		{dec("-1.5"), value.Int32(-2)},
		{dec("NaN"), value.Int32(0)},
		{value.Double(math.NaN()), value.Int32(0)},
		{value.Double(1 << 63), value.Int64(math.MinInt64)},
		{value.Double(1 << 64), value.Int64(math.MaxInt64)},
		{value.Double(math.Inf(-1)), value.Int64(math.MinInt64)},
		{dec("1E+40"), value.Int64(math.MaxInt64)},
		{dec("-Infinity"), value.Int64(math.MinInt64)},
	}
	for _, tt := range tests {
		assert.Equal(t, hashkey.Hash(tt.b), hashkey.Hash(tt.a), "%v as %v", tt.a, tt.b)
	}
}

func TestDocumentsHashByFieldNamesAndValues(t *testing.T) {
	doc := func(pairs ...any) int64 { return hashkey.Hash(value.Doc(value.D(pairs...))) }
	assert.Equal(t, doc("a", 1), doc("a", 1.0))
	assert.NotEqual(t, doc("a", 1), doc("b", 1))
	assert.NotEqual(t, doc("a", 1, "b", 2), doc("b", 2, "a", 1))
	assert.NotEqual(t, doc(), hashkey.Hash(value.A()))
}
