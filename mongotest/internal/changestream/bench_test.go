package changestream_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// One operation is one insert event of 1 KB.
func BenchmarkBacklogOfInserts(b *testing.B) {
	log := newLog()
	for range 20_000 {
		log.Append(insertEntry("db.c", value.UUID{1}, value.D("_id", bson.NewObjectID(), "x", value.Binary(0, make([]byte, 1000)))))
	}
	from := spec(b).StartingAt(bson.Timestamp{T: 1})
	b.ReportAllocs()
	for n := 0; n < b.N; {
		s := open(b, log, from)
		for n < b.N {
			docs, _, _, err := s.Next(b.Context(), 1000, 0, 0)
			if err != nil || len(docs) == 0 {
				break
			}
			n += len(docs)
		}
	}
}
