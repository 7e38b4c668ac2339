package shardworker

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

func raw(t *testing.T, doc any) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(doc)
	require.NoError(t, err)
	return b
}

var testUUID = shardferry.UUID{1}

func testCollection() shardferry.Collection {
	return shardferry.Collection{
		UUID:        testUUID,
		Source:      shardferry.Namespace{DB: "d", Coll: "c"},
		Destination: shardferry.Namespace{DB: "d", Coll: "c"},
	}
}

// put and del are events of one collection.
func putEvent(t *testing.T, sec uint32, op string, key, doc bson.D) event {
	t.Helper()
	return event{kind: kindPut, op: op, time: at(sec), uuid: testUUID, key: raw(t, key), body: raw(t, doc)}
}

func deleteEvent(t *testing.T, sec uint32, key bson.D) event {
	t.Helper()
	return event{kind: kindDelete, op: "delete", time: at(sec), uuid: testUUID, key: raw(t, key)}
}

func schemaEvent(sec uint32, index int) event {
	return event{kind: kindSchema, op: "rename", time: at(sec), index: index, uuid: testUUID}
}

func testAssignment(c shardferry.Collection) shardferry.Assignment {
	return shardferry.Assignment{
		Shard: "s0", Epoch: 1, From: at(5),
		Collections: map[shardferry.UUID]shardferry.Collection{c.UUID: c},
		Tasks:       []shardferry.CopyTask{testTask},
	}
}

var testTask = shardferry.CopyTask{ID: 1, Shard: "s0", UUID: testUUID}
