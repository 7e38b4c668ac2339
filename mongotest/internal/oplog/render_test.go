package oplog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestEntriesRenderAsTheOplogShowsThem(t *testing.T) {
	uuid := value.NewUUID()
	wall := time.UnixMilli(1_700_000_000_123)
	lsid := value.D("id", value.NewUUID(), "uid", value.Binary(0, make([]byte, 32)))
	ts := bson.Timestamp{T: 7, I: 9}
	noPrev := value.D("ts", bson.Timestamp{}, "t", int64(-1))
	ops := value.A(value.D("op", "i", "ns", "db.c", "o", value.D("_id", 1)))
	tests := map[string]struct {
		entry oplog.Entry
		want  bson.Raw
	}{
		"insert": {
			oplog.Entry{Op: oplog.Insert, NS: "db.c", UUID: uuid, O: value.D("_id", 1, "a", "x"), O2: value.D("_id", 1)},
			value.D("ts", ts, "t", int64(2), "v", int64(2), "op", "i", "ns", "db.c", "ui", uuid,
				"o", value.D("_id", 1, "a", "x"), "o2", value.D("_id", 1), "wall", wall),
		},
		"noop": {
			oplog.Entry{Op: oplog.Noop, O: value.D("msg", "periodic noop")},
			value.D("ts", ts, "t", int64(2), "v", int64(2), "op", "n", "ns", "", "o", value.D("msg", "periodic noop"), "wall", wall),
		},
		"migrated delete": {
			oplog.Entry{Op: oplog.Delete, NS: "db.c", UUID: uuid, O: value.D("_id", 1), FromMigrate: true},
			value.D("ts", ts, "t", int64(2), "v", int64(2), "op", "d", "ns", "db.c", "ui", uuid,
				"o", value.D("_id", 1), "wall", wall, "fromMigrate", true),
		},
		"retryable write": {
			oplog.Entry{
				Op: oplog.Insert, NS: "db.c", UUID: uuid, O: value.D("_id", 1),
				Txn: oplog.TxnInfo{LSID: lsid, Number: 4, StmtID: 2, Prev: bson.Timestamp{T: 6, I: 1}},
			},
			value.D("ts", ts, "t", int64(2), "v", int64(2), "op", "i", "ns", "db.c", "ui", uuid, "o", value.D("_id", 1), "wall", wall,
				"lsid", lsid, "txnNumber", int64(4), "stmtId", int32(2),
				"prevOpTime", value.D("ts", bson.Timestamp{T: 6, I: 1}, "t", int64(2))),
		},
		"transaction": {
			oplog.Entry{
				Op: oplog.Command, NS: "admin.$cmd", O: value.D("applyOps", ops),
				Txn: oplog.TxnInfo{LSID: lsid, Number: 4, Multi: true},
			},
			value.D("ts", ts, "t", int64(2), "v", int64(2), "op", "c", "ns", "admin.$cmd", "o", value.D("applyOps", ops), "wall", wall,
				"lsid", lsid, "txnNumber", int64(4), "prevOpTime", noPrev, "multiOpType", int32(0)),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.entry.TS, tc.entry.Term, tc.entry.Wall = ts, 2, wall
			got := tc.entry.BSON()
			require.NoError(t, got.Validate())
			assert.Equal(t, tc.want.String(), got.String())
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestCommandNameIsTheFirstFieldOfCommandsOnly(t *testing.T) {
	drop := oplog.Entry{Op: oplog.Command, NS: "db.$cmd", O: value.D("drop", "c")}
	assert.Equal(t, "drop", drop.CommandName())
	assert.Equal(t, "db", drop.DB())
	insert := oplog.Entry{Op: oplog.Insert, NS: "db.c.d", O: value.D("drop", "c")}
	assert.Empty(t, insert.CommandName())
	db, coll := oplog.SplitNS("db.c.d")
	assert.Equal(t, [2]string{"db", "c.d"}, [2]string{db, coll})
}
