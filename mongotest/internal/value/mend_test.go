package value_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

// What fuzzers make of a document is valid again, and the document itself stays.
func TestMendingYieldsValidDocuments(t *testing.T) {
	doc := value.D("a", 1, "b", value.A("x", value.D("c", nil), int64(5), 2.5, true), "r", value.Regex("a", "i"), "bin", value.Binary(5, []byte{1, 2}),
		"t", value.Timestamp(bson.Timestamp{T: 1, I: 2}), "d", value.DateTime(7), "o", bson.ObjectID{1}, "m", value.MinKey())
	require.Equal(t, doc, valuetest.Mend(doc))
	rapid.Check(t, func(t *rapid.T) {
		b := append([]byte(nil), doc...)
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		require.NoError(t, value.Validate(valuetest.Mend(b[:rapid.IntRange(0, len(b)).Draw(t, "cut")])))
	})
}
