package shardworker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// answers is a destination that gives prepared replies.
type answers struct {
	t       *testing.T
	replies []bson.D
	numbers []int64 // of the writes that it got
}

func (d *answers) run(_ context.Context, _ string, cmd bson.Raw) (bson.Raw, error) {
	d.numbers = append(d.numbers, cmd.Lookup("txnNumber").Int64())
	next := d.replies[0]
	d.replies = d.replies[1:]
	return raw(d.t, next), nil
}

func writeError(index, code int) bson.D {
	return bson.D{{"index", index}, {"code", code}, {"errmsg", "refused"}}
}

// A reply may hold statement errors and a write concern error at once, and both
// count: the command is sent again, under its number, until a majority has what
// succeeded; and then what failed is repaired.
func TestADuplicateKeyBesideAWriteConcernError(t *testing.T) {
	const shutdown, stepDown, unsatisfiable = 91, 189, 100
	concern := func(code int) bson.E {
		return bson.E{Key: "writeConcernError", Value: bson.D{{"code", code}, {"errmsg", "not yet"}}}
	}
	duplicate := bson.E{Key: "writeErrors", Value: bson.A{writeError(1, mongoconn.CodeDuplicateKey)}}
	for name, tt := range map[string]struct {
		replies []bson.D
		sent    int
		failed  []int32
		n       int64
		err     string
	}{
		"all is well":        {[]bson.D{{{"ok", 1}, {"n", 2}}}, 1, nil, 2, ""},
		"both, and then one": {[]bson.D{{{"ok", 1}, {"n", 1}, duplicate, concern(shutdown)}, {{"ok", 1}, {"n", 1}, duplicate}}, 2, []int32{mongoconn.CodeDuplicateKey}, 1, ""},
		"only not durable":   {[]bson.D{{{"ok", 1}, {"n", 2}, concern(stepDown)}, {{"ok", 1}, {"n", 2}, concern(shutdown)}, {{"ok", 1}, {"n", 2}}}, 3, nil, 2, ""},
		"never durable":      {[]bson.D{{{"ok", 1}, {"n", 2}, concern(unsatisfiable)}}, 1, nil, 0, "write concern: not yet"},
		"a statement that may succeed later": {
			[]bson.D{{{"ok", 1}, {"n", 1}, {"writeErrors", bson.A{writeError(0, stepDown)}}}, {{"ok", 1}, {"n", 2}}}, 2, nil, 2, "",
		},
		"a write block that will be lifted": {
			[]bson.D{{{"ok", 1}, {"n", 0}, {"writeErrors", bson.A{writeError(0, mongoconn.CodeUserWritesBlocked)}}}, {{"ok", 1}, {"n", 2}}}, 2, nil, 2, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lease := newLease(time.Hour)
				lease.extend(time.Now())
				to := &answers{t: t, replies: tt.replies}
				w := &writer{to: to, lease: lease, timeout: time.Minute, again: mongoconn.Retrier{GiveUpAfter: time.Hour}, number: FirstNumber}
				start, cmd := bsoncore.AppendDocumentStart(nil)
				res, err := w.write(t.Context(), "d", bsoncore.AppendStringElement(cmd, "insert", "c"), start)
				if tt.err != "" {
					require.ErrorContains(t, err, tt.err)
					return
				}
				require.NoError(t, err)
				assert.Len(t, to.numbers, tt.sent)
				for _, n := range to.numbers {
					assert.Equal(t, int64(FirstNumber+1), n, "the same write")
				}
				var failed []int32
				for _, e := range res.errors {
					failed = append(failed, e.code)
				}
				assert.Equal(t, tt.failed, failed)
				assert.Equal(t, tt.n, res.n)
			})
		})
	}
}
