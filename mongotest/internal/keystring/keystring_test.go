package keystring_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

func uuid(t testing.TB, s string) bson.RawValue {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	require.NoError(t, err)
	return value.Binary(4, b)
}

func tuple(vals ...any) []bson.RawValue {
	out := make([]bson.RawValue, len(vals))
	for i, v := range vals {
		out[i] = value.Of(v)
	}
	return out
}

const zeroUUID = "00112233445566778899aabbccddeeff"

// The resume tokens of server-facts 1.9, some of them taken from real servers.
func TestResumeTokensHaveTheServersBytes(t *testing.T) {
	at := bson.Timestamp{T: 1700000000, I: 5}
	real := bson.Timestamp{T: 0x5E538501, I: 1}
	id, err := bson.ObjectIDFromHex("5E5384F97DC0F30426F01B79")
	require.NoError(t, err)
	id2, err := bson.ObjectIDFromHex("507f1f77bcf86cd799439011")
	require.NoError(t, err)
	realUUID := uuid(t, "EE9B60D8-845F-42FF-989D-09018A730D60")
	u := uuid(t, zeroUUID)
	const head = "826553F100000000052B042C0100296E5A100400112233445566778899AABBCCDDEEFF46"
	const insert = head + "3C6F7065726174696F6E54797065003C696E736572740046646F63756D656E744B65790046"
	event := func(op string, key bson.Raw) bson.Raw {
		if key == nil {
			return value.D("operationType", op)
		}
		return value.D("operationType", op, "documentKey", key)
	}
	tests := []struct {
		name string
		vals []bson.RawValue
		hex  string
		bits string
	}{
		{"high water v1", tuple(at, 1, 0, 0, false), "826553F100000000052B0229296E04", ""},
		{"high water v2", tuple(at, 2, 0, 0, false, nil), "826553F100000000052B0429296E1404", ""},
		{
			"insert v1", tuple(real, 1, 128, 0, false, realUUID, value.D("_id", id)),
			"825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D6046645F696400645E5384F97DC0F30426F01B790004", "",
		},
		{
			"drop v1", tuple(real, 1, 128, 0, false, realUUID),
			"825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D6004", "",
		},
		{"dropDatabase v1", tuple(real, 1, 128, 0, false), "825E538501000000012B022C0100296E04", ""},
		{
			"insert v2", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", id2))),
			insert + "645F69640064507F1F77BCF86CD799439011000004", "",
		},
		{"insert v2 int", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", 5))), insert + "1E5F6964002B0A000004", ""},
		{"insert v2 long", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", int64(5)))), insert + "1E5F6964002B0A000004", "ggAB"},
		{"insert v2 double", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", 5.0))), insert + "1E5F6964002B0A000004", "goAA"},
		{
			"insert v1 long", tuple(real, 1, 128, 0, false, realUUID, value.D("_id", int64(5))),
			"825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D60461E5F6964002B0A0004", "gYA=",
		},
		{
			"insert v1 double", tuple(real, 1, 128, 0, false, realUUID, value.D("_id", 5.0)),
			"825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D60461E5F6964002B0A0004", "QA==",
		},
		{
			"update v2 of a sharded collection", tuple(at, 2, 128, 3, false, u, event("update", value.D("sk", "a", "_id", 1))),
			"826553F100000000052B042C01002B066E5A100400112233445566778899AABBCCDDEEFF463C6F7065726174696F6E54797065003C757064617465" +
				"0046646F63756D656E744B657900463C736B003C61001E5F6964002B02000004", "",
		},
		{
			"dropDatabase v2", tuple(at, 2, 128, 0, false, nil, event("dropDatabase", nil)),
			"826553F100000000052B042C0100296E14463C6F7065726174696F6E54797065003C64726F704461746162617365000004", "",
		},
		{
			"invalidate v2", tuple(at, 2, 128, 0, true, u, event("drop", nil)),
			"826553F100000000052B042C0100296F5A100400112233445566778899AABBCCDDEEFF463C6F7065726174696F6E54797065003C64726F70000004", "",
		},
		{"fragment 0", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", 5)), 0), insert + "1E5F6964002B0A00002904", ""},
		{"fragment 1", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", 5)), 1), insert + "1E5F6964002B0A00002B0204", ""},
		{"fragment 2", tuple(at, 2, 128, 0, false, u, event("insert", value.D("_id", 5)), 2), insert + "1E5F6964002B0A00002B0404", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, bits := keystring.Encode(tt.vals)
			assert.Equal(t, tt.hex, strings.ToUpper(hex.EncodeToString(key)))
			assert.Equal(t, tt.bits, base64.StdEncoding.EncodeToString(bits))
			back, err := keystring.Decode(key, bits)
			require.NoError(t, err)
			assertIdentical(t, tt.vals, back)
		})
	}
}

func TestNumbersHaveTheServersBytes(t *testing.T) {
	tests := []struct {
		v    any
		want string
	}{
		{0, "29"},
		{math.NaN(), "1e"},
		{1, "2b02"},
		{-1, "27fd"},
		{127, "2bfe"},
		{128, "2c0100"},
		{-128, "26feff"},
		{128.0, "2c0100"},
		{int64(math.MaxInt64), "32fffffffffffffffe"},
		{int64(math.MinInt64), "1ff83fffffffffffff"},
		{math.Inf(1), "33ffffffffffffffff"},
		{math.Inf(-1), "1f0000000000000000"},
		{1.5, "2b0380000000000000"},
		{-1.5, "27fc7fffffffffffff"},
		{0.5, "2aff80000000000000"},
		{-0.5, "28007fffffffffffff"},
	}
	for _, tt := range tests {
		got := keystring.Append(nil, value.Of(tt.v), false)
		assert.Equal(t, tt.want, hex.EncodeToString(got), "%v", tt.v)
	}
}

// A pair of random values sorts as bytes as it compares, in both directions.
func TestKeysSortAsValuesCompare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := valuetest.Value(2).Draw(t, "a"), valuetest.Value(2).Draw(t, "b")
		checkOrder(t, a, b)
	})
}

func TestNumberKeysSortAsNumbersCompare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkOrder(t, valuetest.Number().Draw(t, "a"), valuetest.Number().Draw(t, "b"))
	})
}

func checkOrder(t *rapid.T, a, b bson.RawValue) {
	want := cmp.Compare(value.Compare(a, b), 0)
	ka, kb := keystring.Append(nil, a, false), keystring.Append(nil, b, false)
	if got := bytes.Compare(ka, kb); got != want {
		t.Fatalf("%v and %v compare as %d, their keys %x and %x as %d", a, b, want, ka, kb, got)
	}
	ka, kb = append(keystring.Append(nil, a, true), 4), append(keystring.Append(nil, b, true), 4)
	if got := bytes.Compare(ka, kb); got != -want {
		t.Fatalf("%v and %v compare as %d, descending %x and %x as %d", a, b, want, ka, kb, got)
	}
}

func TestDecodeUndoesEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vals := rapid.SliceOfN(valuetest.Value(2), 0, 4).Draw(t, "vals")
		key, bits := keystring.Encode(vals)
		back, err := keystring.Decode(key, bits)
		if err != nil {
			t.Fatalf("%v: key %x bits %x: %v", vals, key, bits, err)
		}
		if len(back) != len(vals) {
			t.Fatalf("%d values, want %d", len(back), len(vals))
		}
		for i := range vals {
			if !same(vals[i], back[i]) {
				t.Fatalf("%v came back as %v (%x %x)", vals[i], back[i], key, bits)
			}
		}
	})
}

// same compares bytes, but takes all NaNs as one: the key keeps no payload.
func same(a, b bson.RawValue) bool {
	if value.Identical(a, b) {
		return true
	}
	ka, ba := keystring.Encode([]bson.RawValue{a})
	kb, bb := keystring.Encode([]bson.RawValue{b})
	return value.Equal(a, b) && bytes.Equal(ka, kb) && bytes.Equal(ba, bb)
}

func assertIdentical(t *testing.T, want, got []bson.RawValue) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		assert.True(t, value.Identical(want[i], got[i]), "%v, want %v", got[i], want[i])
	}
}

func TestLongTypeBitsSurvive(t *testing.T) {
	vals := make([]bson.RawValue, 2000)
	for i := range vals {
		vals[i] = value.Int64(int64(i))
	}
	key, bits := keystring.Encode(vals)
	assert.Equal(t, byte(0x80), bits[0])
	back, err := keystring.Decode(key, bits)
	require.NoError(t, err)
	assertIdentical(t, vals, back)
}

func TestDecodeWithoutTypeBitsTakesIntsAndStrings(t *testing.T) {
	key, _ := keystring.Encode(tuple(5.0, int64(1)<<40, 1.5, "a"))
	back, err := keystring.Decode(key, nil)
	require.NoError(t, err)
	assertIdentical(t, tuple(5, int64(1)<<40, 1.5, "a"), back)
}

func TestMalformedKeysAreRefused(t *testing.T) {
	deep := bytes.Repeat([]byte{0x50}, 10_000)
	for _, key := range [][]byte{
		{},
		{0x29},
		{0x2B},
		{0x2B, 0x02},
		{0x3C, 'a'},
		{0x46, 0x3C},
		{0x05, 4},
		{0x29, 4, 4},
		{0x5A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
		{0x46, 0x3C, 'a', 0, 0x29, 0, 4},
		deep,
	} {
		_, err := keystring.Decode(key, nil)
		assert.True(t, mongoerr.Is(err, mongoerr.FailedToParse), "%x: %v", key[:min(len(key), 20)], err)
	}
	for _, bits := range [][]byte{{0x82, 1}, {0x80}, {0x80, 255, 255, 255, 255}, {1, 1}} {
		_, err := keystring.Decode([]byte{0x29, 4}, bits)
		assert.True(t, mongoerr.Is(err, mongoerr.FailedToParse), "%x: %v", bits, err)
	}
}

// Whatever Decode accepts encodes to a key again, and decodes to equal values.
func FuzzDecode(f *testing.F) {
	for _, vals := range [][]bson.RawValue{
		tuple(1, 2.5, "a", nil), tuple(value.D("a", value.A(1, "x"))), tuple(int64(5)), tuple(value.Binary(4, make([]byte, 16))),
	} {
		key, bits := keystring.Encode(vals)
		f.Add(key, bits)
	}
	f.Fuzz(func(t *testing.T, key, bits []byte) {
		vals, err := keystring.Decode(key, bits)
		if err != nil {
			return
		}
		again, bits2 := keystring.Encode(vals)
		back, err := keystring.Decode(again, bits2)
		require.NoError(t, err)
		require.Len(t, back, len(vals))
		for i := range vals {
			require.True(t, value.Equal(vals[i], back[i]))
		}
	})
}
