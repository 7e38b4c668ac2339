package changestream_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func hexUUID(t interface{ Helper() }, s string) value.UUID {
	t.Helper()
	var u value.UUID
	n := 0
	for _, c := range strings.ReplaceAll(s, "-", "") {
		d := strings.IndexRune("0123456789abcdef", c|0x20)
		u[n/2] = u[n/2]<<4 | byte(d)
		n++
	}
	return u
}

func event(version int, ts bson.Timestamp, uuid value.UUID, identifier bson.Raw) changestream.Token {
	return changestream.Token{Time: ts, Version: version, Type: changestream.EventToken, UUID: uuid, Identifier: identifier}
}

// The worked examples of the token format: tokens of real servers, and tokens
// that follow from its rules.
func TestTokensEncodeByteExact(t *testing.T) {
	at := bson.Timestamp{T: 1700000000, I: 5}
	realUUID := hexUUID(t, "EE9B60D8-845F-42FF-989D-09018A730D60")
	realAt := bson.Timestamp{T: 0x5E538501, I: 1}
	uuid := hexUUID(t, "00112233-4455-6677-8899-aabbccddeeff")
	const uuidHex = "00112233445566778899AABBCCDDEEFF"
	realOID, err := bson.ObjectIDFromHex("5E5384F97DC0F30426F01B79")
	require.NoError(t, err)
	oid, err := bson.ObjectIDFromHex("507f1f77bcf86cd799439011")
	require.NoError(t, err)
	crud := func(op string, key bson.Raw) bson.Raw { return value.D("operationType", op, "documentKey", key) }
	withTxn := event(2, at, uuid, crud("update", value.D("sk", "a", "_id", int32(1))))
	withTxn.TxnIndex = 3
	invalidate := event(2, at, uuid, value.D("operationType", "drop"))
	invalidate.FromInvalidate = true
	insertByID := func(version int, id any) changestream.Token {
		key := value.D("_id", id)
		if version == 1 {
			return event(1, at, uuid, key)
		}
		return event(2, at, uuid, crud("insert", key))
	}
	fragment := func(n int) changestream.Token {
		tok := insertByID(2, oid)
		tok.Fragment = n
		return tok
	}
	const v2OID = "826553F100000000052B042C0100296E5A1004" + uuidHex +
		"463C6F7065726174696F6E54797065003C696E736572740046646F63756D656E744B65790046645F69640064507F1F77BCF86CD7994390110000"
	const v2Five = "826553F100000000052B042C0100296E5A1004" + uuidHex +
		"463C6F7065726174696F6E54797065003C696E736572740046646F63756D656E744B657900461E5F6964002B0A000004"
	const v1Five = "826553F100000000052B022C0100296E5A1004" + uuidHex + "461E5F6964002B0A0004"

	tests := map[string]struct {
		token    changestream.Token
		data     string
		typeBits string // base64
	}{
		"high water mark v1":    {token: changestream.HighWater(at, 1), data: "826553F100000000052B0229296E04"},
		"high water mark v2":    {token: changestream.HighWater(at, 2), data: "826553F100000000052B0429296E1404"},
		"v1 insert, real token": {token: event(1, realAt, realUUID, value.D("_id", realOID)), data: "825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D6046645F696400645E5384F97DC0F30426F01B790004"},
		"v1 drop":               {token: event(1, realAt, realUUID, nil), data: "825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D6004"},
		"v1 dropDatabase":       {token: event(1, realAt, value.UUID{}, nil), data: "825E538501000000012B022C0100296E04"},
		"v2 insert":             {token: insertByID(2, oid), data: v2OID + "04"},
		"v2 insert int":         {token: insertByID(2, int32(5)), data: v2Five},
		"v2 insert long":        {token: insertByID(2, int64(5)), data: v2Five, typeBits: "ggAB"},
		"v2 insert double":      {token: insertByID(2, 5.0), data: v2Five, typeBits: "goAA"},
		"v1 insert int":         {token: insertByID(1, int32(5)), data: v1Five},
		"v1 insert long":        {token: insertByID(1, int64(5)), data: v1Five, typeBits: "gYA="},
		"v1 insert double":      {token: insertByID(1, 5.0), data: v1Five, typeBits: "QA=="},
		"v2 update in a transaction, sharded": {token: withTxn, data: "826553F100000000052B042C01002B066E5A1004" + uuidHex +
			"463C6F7065726174696F6E54797065003C7570646174650046646F63756D656E744B657900463C736B003C61001E5F6964002B02000004"},
		"v2 dropDatabase": {
			token: event(2, at, value.UUID{}, value.D("operationType", "dropDatabase")),
			data:  "826553F100000000052B042C0100296E14463C6F7065726174696F6E54797065003C64726F704461746162617365000004",
		},
		"v2 invalidate after drop": {token: invalidate, data: "826553F100000000052B042C0100296F5A1004" + uuidHex +
			"463C6F7065726174696F6E54797065003C64726F70000004"},
		"v2 first fragment":  {token: fragment(1), data: v2OID + "2904"},
		"v2 second fragment": {token: fragment(2), data: v2OID + "2B0204"},
		"v2 third fragment":  {token: fragment(3), data: v2OID + "2B0404"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			data, typeBits := tc.token.Encode()
			assert.Equal(t, tc.data, data)
			assert.Equal(t, tc.typeBits, base64.StdEncoding.EncodeToString(typeBits))

			back, err := changestream.ParseToken(tc.token.BSON())
			require.NoError(t, err)
			assert.Equal(t, tc.token, back)
		})
	}
}

// At one time: high water mark, events by transaction index, an event before its
// invalidate event, events without a UUID before those with one.
func TestTokensSortInTheOrderOfAStream(t *testing.T) {
	at := bson.Timestamp{T: 100, I: 1}
	uuid := hexUUID(t, "00112233-4455-6677-8899-aabbccddeeff")
	drop := event(2, at, uuid, value.D("operationType", "drop"))
	invalidate := drop
	invalidate.FromInvalidate = true
	second := drop
	second.TxnIndex = 1
	many := drop
	many.TxnIndex = 200
	ordered := []changestream.Token{
		changestream.HighWater(at, 2),
		event(2, at, value.UUID{}, value.D("operationType", "dropDatabase")),
		drop, invalidate, second, many,
		changestream.HighWater(bson.Timestamp{T: 100, I: 2}, 2),
		changestream.HighWater(bson.Timestamp{T: 101, I: 0}, 2),
	}
	for i := 1; i < len(ordered); i++ {
		assert.Negative(t, changestream.CompareTokens(ordered[i-1].BSON(), ordered[i].BSON()), "%d", i)
	}
	assert.Zero(t, changestream.CompareTokens(drop.BSON(), drop.BSON()))
}

func TestBadTokensAreRefusedWithTheServersCodes(t *testing.T) {
	hwm, _ := changestream.HighWater(bson.Timestamp{T: 1, I: 1}, 2).Encode()
	event, _ := event(2, bson.Timestamp{T: 1, I: 1}, value.UUID{1}, value.D("operationType", "drop")).Encode()
	tests := map[string]struct {
		doc  bson.Raw
		code mongoerr.Code
	}{
		"no data":            {value.D("x", 1), 40647},
		"data of a type":     {value.D("_data", int32(5)), 40647},
		"type bits":          {value.D("_data", hwm, "_typeBits", "x"), 40648},
		"not hexadecimal":    {value.D("_data", "zz"), mongoerr.FailedToParse},
		"odd length":         {value.D("_data", "823"), mongoerr.FailedToParse},
		"empty":              {value.D("_data", ""), 40649},
		"unknown version":    {value.D("_data", strings.Replace(hwm, "2B04", "2B12", 1)), 50795},
		"no timestamp":       {value.D("_data", "2B0204"), 40649},
		"no version":         {value.D("_data", hwm[:18]+"04"), 50796},
		"version of a type":  {value.D("_data", hwm[:18]+"6E04"), 50854},
		"no token type":      {value.D("_data", hwm[:22]+"04"), 51055},
		"token type":         {value.D("_data", hwm[:22]+"2B0204"), 51057},
		"no index":           {value.D("_data", hwm[:24]+"04"), 50793},
		"index of a type":    {value.D("_data", hwm[:24]+"6E04"), 50855},
		"negative index":     {value.D("_data", hwm[:24]+"27FD6E1404"), 50794},
		"no invalidate":      {value.D("_data", hwm[:26]+"04"), 50872},
		"invalidate a type":  {value.D("_data", hwm[:26]+"2904"), 50870},
		"no UUID":            {value.D("_data", hwm[:28]+"04"), 6189500},
		"UUID of a type":     {value.D("_data", hwm[:28]+"2904"), mongoerr.InvalidUUID},
		"no identifier":      {value.D("_data", strings.Replace(hwm, "2B0429", "2B042C0100", 1)), 6189501},
		"identifier a type":  {value.D("_data", strings.TrimSuffix(strings.Replace(hwm, "2B0429", "2B042C0100", 1), "04")+"2904"), 6189503},
		"time with more":     {value.D("_data", strings.TrimSuffix(hwm, "04")+"6E6E04"), 6189504},
		"fragment of a type": {value.D("_data", strings.TrimSuffix(event, "04")+"6E04"), 7182501},
		"more than a token":  {value.D("_data", strings.TrimSuffix(event, "04")+"292904"), 40646},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := changestream.ParseToken(tc.doc)
			require.Error(t, err)
			assert.Equal(t, tc.code, mongoerr.From(err).Code, "%v", err)
		})
	}
}

func TestTokensRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tok := changestream.Token{
			Time:           bson.Timestamp{T: rapid.Uint32().Draw(t, "t"), I: rapid.Uint32().Draw(t, "i")},
			Version:        rapid.IntRange(1, 2).Draw(t, "version"),
			Type:           changestream.EventToken,
			TxnIndex:       rapid.IntRange(0, 1<<30).Draw(t, "txn index"),
			FromInvalidate: rapid.Bool().Draw(t, "invalidate"),
			UUID:           value.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")),
			Identifier:     value.D("operationType", "insert", "documentKey", value.D("_id", drawID(t))),
		}
		if tok.Version == 2 {
			tok.Fragment = rapid.IntRange(0, 5).Draw(t, "fragment")
		}
		back, err := changestream.ParseToken(tok.BSON())
		require.NoError(t, err)
		require.Equal(t, tok, back)
	})
}

func drawID(t *rapid.T) any {
	return rapid.OneOf(
		rapid.Map(rapid.Int32(), func(i int32) any { return i }),
		rapid.Map(rapid.Int64(), func(i int64) any { return i }),
		rapid.Map(rapid.String(), func(s string) any { return strings.ToValidUTF8(s, "") }),
		rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
		rapid.Just[any](value.D("a", int64(1), "b", "x")),
	).Draw(t, "_id")
}

func FuzzParseTokenNeverPanics(f *testing.F) {
	f.Add("826553F100000000052B0429296E1404", []byte(nil))
	f.Add("825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D6046645F696400645E5384F97DC0F30426F01B790004", []byte{1})
	f.Fuzz(func(t *testing.T, data string, typeBits []byte) {
		tok, err := changestream.ParseToken(value.D("_data", data, "_typeBits", value.Binary(0, typeBits)))
		if err != nil {
			return
		}
		again, err := changestream.ParseToken(tok.BSON())
		require.NoError(t, err)
		require.Equal(t, tok.BSON(), again.BSON())
	})
}
