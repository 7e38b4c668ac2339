package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Collections with a default collation move like others: there from the start or
// created later, with indexes that have it and indexes that do not, and with
// documents that change the case of their _ids until the end. So do the way back's.
func TestCollatedCollectionsMove(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			bubble(t, shards, shards, func(t *testing.T, s *stage) {
				german, simple := bson.E{Key: "collation", Value: bson.D{{"locale", "de"}, {"strength", 2}}}, bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}}
				create := func(coll string) {
					require.NoError(t, s.from.Database("d").RunCommand(t.Context(), bson.D{{"create", coll}, german}).Err())
					require.NoError(t, s.from.Database("d").RunCommand(t.Context(), bson.D{{"createIndexes", coll}, {"indexes", bson.A{
						bson.D{{"key", bson.D{{"u", 1}}}, {"name", "u"}}, bson.D{{"key", bson.D{{"u", 1}}}, {"name", "bytes"}, simple},
					}}}).Err())
				}
				create("c")
				if shards > 0 {
					s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", "hashed"}}}, simple})
				}
				swap := func(coll string, from, to string) {
					c := s.from.Database("d").Collection(coll)
					for i := range 20 {
						if from != "" {
							res, err := c.DeleteOne(t.Context(), bson.D{{"_id", fmt.Sprint(from, i)}})
							require.NoError(t, err)
							require.Equal(t, int64(1), res.DeletedCount)
						}
						_, err := c.InsertOne(t.Context(), bson.D{{"_id", fmt.Sprint(to, i)}, {"x", i}, {"u", to}})
						require.NoError(t, err)
					}
				}
				swap("c", "", "key")
				s.start()
				time.Sleep(5 * time.Second)
				swap("c", "key", "KEY")
				create("later")
				swap("later", "", "key")
				s.stream()
				swap("c", "KEY", "Key")
				swap("later", "key", "KEY")
				time.Sleep(5 * time.Second)
				s.equal()
				s.commit()
				s.reach(shardferry.StateCommitted)
				s.equal()
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
				for _, coll := range []string{"c", "later"} {
					specs, err := s.to.Database("d").Collection(coll).Indexes().ListSpecifications(t.Context())
					require.NoError(t, err)
					assert.GreaterOrEqual(t, len(specs), 3)
				}
			})
		})
	}
}
