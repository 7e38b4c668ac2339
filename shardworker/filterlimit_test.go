package shardworker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A slowFinder is a source that takes a while to find anything.
type slowFinder struct {
	oneDocument
	takes time.Duration
}

func (s *slowFinder) find(ctx context.Context, db string, cmd bson.Raw, n int) (cursor, error) {
	if err := mongoconn.Sleep(ctx, s.takes); err != nil {
		return nil, err
	}
	return s.oneDocument.find(ctx, db, cmd, n)
}

// A read of the copy through a filter may take minutes, until what matches is
// found among all that does not.
func TestACopyWaitsForWhatMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		coll := testCollection()
		for _, f := range []filters{nil, {coll.Source: raw(t, bson.D{{"a", 1}})}} {
			r := &batchReader{
				from: &slowFinder{oneDocument{doc: raw(t, bson.D{{"_id", 1}}), now: at(9)}, 10 * time.Minute},
				task: shardferry.CopyTask{UUID: testUUID, Index: raw(t, bson.D{{"_id", 1}})}, docs: 10, ledger: newLedger("s0", testAssignment(coll), f),
				again: mongoconn.Retrier{GiveUpAfter: time.Second},
			}
			_, docs, err := r.open(t.Context(), &activeBatch{readAt: at(5)}, &coll, false)
			if f == nil {
				require.Error(t, err)
				continue
			}
			require.NoError(t, err)
			assert.Len(t, docs, 1)
		}
	})
}
