package shardworker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
)

// maxDocument is the largest document that a server stores.
const maxDocument = 16 << 20

// sized returns a document of exactly n bytes with an _id of idBytes.
func sized(t *testing.T, id string, idBytes, n int) bson.D {
	t.Helper()
	id += strings.Repeat("-", idBytes-len(id))
	frame := len(mustMarshal(t, bson.D{{"_id", id}, {"x", 1}, {"data", ""}}))
	return bson.D{{"_id", id}, {"x", 1}, {"data", strings.Repeat("d", n-frame)}}
}

// Documents up to the largest that there may be are copied and followed, also
// those with keys so large that no reply holds their event, or no statement both
// key and document. Workers die between the fragments.
func TestTheLargestDocumentsComeThrough(t *testing.T) {
	o := mongotest.Options{Shards: 1}
	bubble(t, o, o, func(t *testing.T, p *pair) {
		c := p.create(notes, nil, nil)
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		for _, id := range []string{"copied", "copied and changed"} {
			_, err := coll.InsertOne(t.Context(), sized(t, id, 2<<20, maxDocument-100))
			require.NoError(t, err)
		}
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{c.UUID: c}, p.tasks(c, nil))
		stop := p.work(l, small)
		time.Sleep(time.Second)
		for _, d := range []bson.D{
			sized(t, "small key", 20, maxDocument), sized(t, "medium key", 3<<10, maxDocument), sized(t, "large key", 3<<20, 9<<20),
		} {
			_, err := coll.InsertOne(t.Context(), d)
			require.NoError(t, err)
			l.crash(stop)
			stop = p.work(l, small)
		}
		for range 2 { // the second time the path says nothing of whether 0 is a name, and the document is read again
			_, err := coll.UpdateOne(t.Context(), bson.D{{"_id", bson.D{{"$gt", "copied and"}}}}, bson.A{bson.D{{"$set", bson.D{{"m.0", bson.D{{"$rand", bson.D{}}}}}}}})
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		for _, u := range []bson.D{
			{{"$set", bson.D{{"data", strings.Repeat("u", 9<<20)}}}}, {{"$push", bson.D{{"list", 1}}}}, {{"$unset", bson.D{{"x", ""}}}},
		} {
			_, err := coll.UpdateMany(t.Context(), bson.D{{"_id", bson.D{{"$ne", "copied"}}}}, u)
			require.NoError(t, err)
		}
		_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", bson.D{{"$gt", "small"}}}})
		require.NoError(t, err)
		p.settle(l)
		assert.Equal(t, 4, p.requireEqual(notes))
		stop()
	})
}
