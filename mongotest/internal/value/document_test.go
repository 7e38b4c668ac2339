package value_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

func TestDBuildsWhatTheDriverBuilds(t *testing.T) {
	now := time.UnixMilli(1700000000123)
	want, err := bson.Marshal(bson.D{
		{"ok", 1.0},
		{"n", int32(3)},
		{"big", int64(1) << 40},
		{"s", "x"},
		{"d", bson.D{{"a", nil}}},
		{"arr", bson.A{"a", int32(1)}},
		{"t", bson.NewDateTimeFromTime(now)},
		{"ts", bson.Timestamp{T: 1, I: 2}},
		{"bin", bson.Binary{Subtype: 4, Data: []byte{1}}},
		{"docs", bson.A{bson.D{}, bson.D{{"b", true}}}},
	})
	require.NoError(t, err)
	got := value.D(
		"ok", 1.0, "n", 3, "big", 1<<40, "s", "x", "d", bson.D{{"a", nil}}, "arr", bson.A{"a", int32(1)}, "t", now,
		"ts", bson.Timestamp{T: 1, I: 2}, "bin", bson.Binary{Subtype: 4, Data: []byte{1}}, "left out", bson.RawValue{},
		"docs", []bson.Raw{value.D(), value.D("b", true)},
	)
	assert.Equal(t, bson.Raw(want), got)
}

func TestLookupFollowsDocumentsOnly(t *testing.T) {
	doc := value.D("a", value.D("b", 1, "c", value.A(value.D("d", 2))), "a.b", 3)
	v, ok := value.Lookup(doc, "a.b")
	assert.True(t, ok)
	assert.Equal(t, value.Int32(1), v)
	for _, path := range []string{"a.c.d", "a.c.0", "a.x", "a.b.c", "x"} {
		_, ok := value.Lookup(doc, path)
		assert.False(t, ok, path)
	}
}

func TestLookupAllFansOutOverArrays(t *testing.T) {
	doc := value.D(
		"s", 1,
		"arr", value.A(value.D("b", 1), value.D("b", value.A(2, 3)), value.D("c", 9), 5, value.A(value.D("b", 7))),
		"pos", value.A(10, value.D("0", "field"), value.A(20, 21)),
	)
	tests := []struct {
		path string
		want []bson.RawValue
	}{
		{"s", []bson.RawValue{value.Int32(1)}},
		{"s.x", nil},
		{"arr.b", []bson.RawValue{value.Int32(1), value.A(2, 3)}},
		{"arr.1.b", []bson.RawValue{value.A(2, 3)}},
		{"arr.4.b", []bson.RawValue{value.Int32(7)}},
		{"pos.0", []bson.RawValue{value.Int32(10), value.String("field")}},
		{"pos.2.1", []bson.RawValue{value.Int32(21)}},
		{"pos.00", nil},
		{"pos.9", nil},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, value.LookupAll(doc, tt.path), tt.path)
	}
}

func TestValidateTakesAllThatCanBeBuilt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := valuetest.Document(3).Draw(t, "doc")
		if err := value.Validate(doc); err != nil {
			t.Fatalf("%v: %v", doc, err)
		}
	})
}

func TestValidateRefusesDamage(t *testing.T) {
	good := value.D("s", "text", "d", value.D("b", true), "bin", value.Binary(2, []byte{1, 0, 0, 0, 7}))
	require.NoError(t, value.Validate(good))
	for n := range good {
		err := value.Validate(good[:n])
		assert.True(t, mongoerr.Is(err, mongoerr.InvalidBSON), "cut at %d: %v", n, err)
	}
	bad := value.D("b", true)
	bad[len(bad)-2] = 7
	assert.True(t, mongoerr.Is(value.Validate(bad), mongoerr.InvalidBSON))
}

func TestValidateLimitsNesting(t *testing.T) {
	nested := func(levels int) bson.Raw {
		doc := value.D("x", 1)
		for range levels - 1 {
			doc = value.D("a", doc)
		}
		return doc
	}
	require.NoError(t, value.Validate(nested(value.MaxDepth)))
	err := value.Validate(nested(value.MaxDepth + 1))
	assert.True(t, mongoerr.Is(err, mongoerr.Overflow), "%v", err)
}

func TestUUIDRoundTrip(t *testing.T) {
	u := value.NewUUID()
	back, ok := value.ParseUUID(value.Of(u))
	assert.True(t, ok)
	assert.Equal(t, u, back)
	assert.False(t, u.IsZero())
	_, ok = value.ParseUUID(value.String("x"))
	assert.False(t, ok)
}

// No input makes Validate panic, and what it accepts can be walked and compared.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(value.D("a", 1, "b", value.A("x", value.D("c", nil)), "r", value.Regex("a", "i"))))
	f.Add([]byte(value.D("bin", value.Binary(2, []byte{1, 0, 0, 0, 7}))))
	f.Fuzz(func(t *testing.T, doc []byte) {
		err := value.Validate(doc)
		// Damaged documents must do no harm either.
		for range value.Elements(bson.Raw(doc)) {
		}
		require.Equal(t, 0, value.CompareDocs(doc, doc))
		value.LookupAll(doc, "a.0.c")
		if err == nil {
			require.NoError(t, bson.Raw(doc).Validate())
		}
	})
}
