package mongos

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A driver that hears "not primary" from a mongos takes it for gone until the
// next heartbeat, and with it every operation of every thread.
func TestAStepDownOfAShardIsNoStepDownOfTheMongos(t *testing.T) {
	for _, code := range stateChanges {
		synctest.Test(t, func(t *testing.T) { // a transaction does not wait for locks any longer than 5 ms
			c := spreadOut(t)
			c.lose = func(shard string, req *command.Request) error {
				if req.DB == "db" && shard == "s2" {
					return mongoerr.New(code, "not master: node is recovering")
				}
				return nil
			}
			lsid := session()
			_, err := c.run("db", in(lsid, 1, true, bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 900}, {"k", 900}}}}}))
			e := mongoerr.From(err)
			require.Equal(t, mongoerr.HostUnreachable, e.Code, "%d", code)
			assert.Equal(t, "(NOT_PRIMARY): (NODE_IS_RECOVERING)", e.Message)
			assert.Contains(t, e.Labels, "TransientTransactionError")
		})
	}
}

func TestStateChangesInsideAReplyAreHiddenToo(t *testing.T) {
	other := bson.D{{"index", 0}, {"code", 11000}, {"errmsg", "not master is a title"}}
	body := cloakReply(rawDoc(bson.D{
		{"n", 1},
		{"writeErrors", bson.A{other, bson.D{{"index", 1}, {"code", 189}, {"errmsg", "not master"}}}},
		{"writeConcernError", bson.D{{"code", 91}, {"codeName", "ShutdownInProgress"}, {"errmsg", "bye"}}},
	}))
	assert.Equal(t, rawDoc(bson.D{
		{"n", 1},
		{"writeErrors", bson.A{other, bson.D{{"index", 1}, {"code", 6}, {"errmsg", "(NOT_PRIMARY)"}}}},
		{"writeConcernError", bson.D{{"code", 6}, {"codeName", "HostUnreachable"}, {"errmsg", "bye"}}},
	}), body)
	untouched := rawDoc(bson.D{{"n", 1}, {"writeErrors", bson.A{other}}})
	assert.Equal(t, untouched, cloakReply(untouched))
}
