package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// A command with any of its values replaced by one of another type is answered,
// be it with an error: nothing a client sends brings a server down.
func TestMalformedCommandsAreAnswered(t *testing.T) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: shards}, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				require.NoError(t, cl.Database("d").CreateCollection(t.Context(), "c"))
				_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}, {"a", bson.A{1, 2}}})
				require.NoError(t, err)
				if shards > 0 {
					shardHashed(t, cl, "d.s")
				}
				for _, cmd := range commands() {
					for _, bad := range mutations(cmd) {
						answered(t, cl, bad)
					}
				}
			})
		})
	}
}

func answered(t *testing.T, cl *mongo.Client, cmd bson.D) {
	t.Helper()
	db := "d"
	if cmd[len(cmd)-1].Key == "@admin" {
		db, cmd = "admin", cmd[:len(cmd)-1]
	}
	err := cl.Database(db).RunCommand(t.Context(), cmd).Err()
	if err == nil {
		return
	}
	var se mongo.ServerError
	if assert.ErrorAsf(t, err, &se, "%v", cmd) {
		assert.Falsef(t, se.HasErrorCode(1), "internal error for %v: %v", cmd, err)
		assert.Falsef(t, mongo.IsNetworkError(err), "the connection is gone after %v", cmd)
	}
}

// oddities are values that most fields do not expect.
func oddities() []any {
	return []any{
		nil, "text", "", int32(-1), int64(1) << 62, 1.5, true,
		bson.D{},
		bson.D{{"x", 1}},
		bson.D{{"$x", 1}},
		bson.A{},
		bson.A{1},
		bson.A{bson.D{}},
		bson.Binary{Subtype: 4, Data: []byte{1}},
		bson.ObjectID{},
		bson.Timestamp{T: 1 << 31},
		bson.MinKey{},
		bson.Regex{Pattern: "("},
		bson.NewDecimal128(1, 2),
	}
}

// mutations returns cmd with each value, at any depth, replaced by each oddity.
func mutations(cmd bson.D) []bson.D {
	var out []bson.D
	for i, e := range cmd {
		if e.Key == "@admin" {
			continue
		}
		for _, v := range variants(e.Value) {
			m := append(bson.D(nil), cmd...)
			m[i].Value = v
			out = append(out, m)
		}
	}
	return out
}

// variants returns the oddities, and v with each value inside it replaced.
func variants(v any) []any {
	out := oddities()
	switch v := v.(type) {
	case bson.D:
		for _, m := range mutations(v) {
			out = append(out, m)
		}
	case bson.A:
		for i := range v {
			for _, x := range variants(v[i]) {
				m := append(bson.A(nil), v...)
				m[i] = x
				out = append(out, m)
			}
		}
	}
	return out
}
