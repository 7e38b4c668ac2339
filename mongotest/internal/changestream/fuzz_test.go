package changestream_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

// No valid options of a stream make opening it panic, nor reading it.
func FuzzOptions(f *testing.F) {
	for _, o := range []bson.Raw{
		value.D("resumeAfter", value.D("_data", "826553F100000000052B0429296E1404"), "fullDocument", "updateLookup"),
		value.D("startAfter", value.D("_data", "825E538501000000012B022C0100296E5A1004EE9B60D8845F42FF989D09018A730D6046645F696400645E5384F97DC0F30426F01B790004", "_typeBits", value.Binary(0, []byte{1}))),
		value.D("startAtOperationTime", value.Timestamp(bson.Timestamp{T: 1}), "showExpandedEvents", true, "fullDocumentBeforeChange", "whenAvailable"),
		value.D("allChangesForCluster", true, "showSystemEvents", true),
	} {
		f.Add([]byte(o), "d", "c")
	}
	f.Fuzz(func(t *testing.T, options []byte, db, coll string) {
		s, err := changestream.ParseSpec(value.D("$changeStream", valuetest.Mend(options)), db, coll)
		if err != nil {
			return
		}
		log := newLog()
		log.Append(insertEntry("d.c", value.UUID{1}, value.D("_id", 1)), applyOps(oplog.TxnInfo{}, "", innerInsert("d.c", 0), innerInsert("d.c", 1)))
		stream, err := changestream.Open(log, docs{}, s.StartingAt(log.First()), nil, version)
		require.NoError(t, err)
		events, pbrt, _, err := stream.Next(t.Context(), 0, 0, 0)
		if err != nil {
			return
		}
		for _, e := range append(events, pbrt) {
			require.NoError(t, value.Validate(e))
		}
	})
}
