package changestream_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The events of one oplog entry, without _id and times, as a plain stream and as
// one with showExpandedEvents shows them. Nil: it does not.
func TestEventShapes(t *testing.T) {
	u := value.UUID{0: 9, 15: 1}
	v := value.UUID{0: 8, 15: 2}
	ns := value.D("db", "db", "coll", "c")
	key := value.D("sk", "a", "_id", 1)
	doc := value.D("_id", 1, "sk", "a")
	idIndex := value.D("v", 2, "key", value.D("_id", 1), "name", "_id_")
	index := value.D("v", 2, "key", value.D("a", 1), "name", "a_1")
	viewDoc := value.D("_id", "db.v", "viewOn", "c", "pipeline", value.A())
	viewDef := value.D("viewOn", "c", "pipeline", value.A())
	nothing := value.D("updatedFields", value.D(), "removedFields", value.A(), "truncatedArrays", value.A())

	tests := map[string]struct {
		entry    oplog.Entry
		plain    bson.Raw
		expanded bson.Raw
	}{
		"insert": {
			oplog.Entry{Op: oplog.Insert, NS: "db.c", UUID: u, O: doc, O2: key},
			value.D("operationType", "insert", "fullDocument", doc, "ns", ns, "documentKey", key),
			value.D("operationType", "insert", "collectionUUID", u, "fullDocument", doc, "ns", ns, "documentKey", key),
		},
		"replace": {
			oplog.Entry{Op: oplog.Update, NS: "db.c", UUID: u, O: doc, O2: key},
			value.D("operationType", "replace", "fullDocument", doc, "ns", ns, "documentKey", key),
			value.D("operationType", "replace", "collectionUUID", u, "fullDocument", doc, "ns", ns, "documentKey", key),
		},
		"update": {
			oplog.Entry{Op: oplog.Update, NS: "db.c", UUID: u, O: value.D("$v", 2, "diff", value.D()), O2: key},
			value.D("operationType", "update", "ns", ns, "documentKey", key, "updateDescription", nothing),
			value.D("operationType", "update", "collectionUUID", u, "ns", ns, "documentKey", key, "updateDescription",
				value.D("updatedFields", value.D(), "removedFields", value.A(), "truncatedArrays", value.A(), "disambiguatedPaths", value.D())),
		},
		"delete": {
			oplog.Entry{Op: oplog.Delete, NS: "db.c", UUID: u, O: key},
			value.D("operationType", "delete", "ns", ns, "documentKey", key),
			value.D("operationType", "delete", "collectionUUID", u, "ns", ns, "documentKey", key),
		},
		"drop": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("drop", "c"), O2: value.D("numRecords", int64(2))},
			value.D("operationType", "drop", "ns", ns),
			value.D("operationType", "drop", "collectionUUID", u, "ns", ns),
		},
		"rename": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("renameCollection", "db.c", "to", "db.d.e", "stayTemp", false)},
			value.D("to", value.D("db", "db", "coll", "d.e"), "operationType", "rename", "ns", ns),
			value.D("to", value.D("db", "db", "coll", "d.e"), "operationType", "rename", "collectionUUID", u, "ns", ns,
				"operationDescription", value.D("to", value.D("db", "db", "coll", "d.e"))),
		},
		"rename over another": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("renameCollection", "db.c", "to", "db.d", "stayTemp", false, "dropTarget", v)},
			value.D("to", value.D("db", "db", "coll", "d"), "operationType", "rename", "ns", ns),
			value.D("to", value.D("db", "db", "coll", "d"), "operationType", "rename", "collectionUUID", u, "ns", ns,
				"operationDescription", value.D("to", value.D("db", "db", "coll", "d"), "dropTarget", v)),
		},
		"dropDatabase": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", O: value.D("dropDatabase", 1)},
			value.D("operationType", "dropDatabase", "ns", value.D("db", "db")),
			value.D("operationType", "dropDatabase", "ns", value.D("db", "db")),
		},
		"create": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("create", "c", "idIndex", idIndex)},
			nil,
			value.D("operationType", "create", "collectionUUID", u, "ns", ns, "operationDescription", value.D("idIndex", idIndex)),
		},
		"createIndexes": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("createIndexes", "c", "v", 2, "key", value.D("a", 1), "name", "a_1")},
			nil,
			value.D("operationType", "createIndexes", "collectionUUID", u, "ns", ns, "operationDescription", value.D("indexes", value.A(index))),
		},
		"commitIndexBuild": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("commitIndexBuild", "c", "indexBuildUUID", v, "indexes", value.A(index, index))},
			nil,
			value.D("operationType", "createIndexes", "collectionUUID", u, "ns", ns, "operationDescription", value.D("indexes", value.A(index, index))),
		},
		"startIndexBuild": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("startIndexBuild", "c", "indexBuildUUID", v, "indexes", value.A(index))},
			nil, nil,
		},
		"dropIndexes": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("dropIndexes", "c", "index", "a_1"), O2: index},
			nil,
			value.D("operationType", "dropIndexes", "collectionUUID", u, "ns", ns, "operationDescription", value.D("indexes", value.A(index))),
		},
		"collMod": {
			oplog.Entry{
				Op: oplog.Command, NS: "db.$cmd", UUID: u,
				O:  value.D("collMod", "c", "index", value.D("name", "a_1", "hidden", true)),
				O2: value.D("collectionOptions_old", value.D("uuid", u), "indexOptions_old", value.D("hidden", false)),
			},
			nil,
			value.D("operationType", "modify", "collectionUUID", u, "ns", ns,
				"operationDescription", value.D("index", value.D("name", "a_1", "hidden", true)),
				"stateBeforeChange", value.D("collectionOptions", value.D("uuid", u), "indexOptions", value.D("hidden", false))),
		},
		"shardCollection": {
			oplog.Entry{
				Op: oplog.Noop, NS: "db.c", UUID: u, O: value.D("msg", value.D("shardCollection", "db.c")),
				O2: value.D("shardCollection", "db.c", "shardKey", value.D("sk", 1), "unique", false),
			},
			nil,
			value.D("operationType", "shardCollection", "collectionUUID", u, "ns", ns,
				"operationDescription", value.D("shardKey", value.D("sk", 1), "unique", false)),
		},
		"create view": {
			oplog.Entry{Op: oplog.Insert, NS: "db.system.views", UUID: v, O: viewDoc, O2: value.D("_id", "db.v")},
			nil,
			value.D("operationType", "create", "ns", value.D("db", "db", "coll", "v"), "operationDescription", viewDef),
		},
		"modify view": {
			oplog.Entry{Op: oplog.Update, NS: "db.system.views", UUID: v, O: viewDoc, O2: value.D("_id", "db.v")},
			nil,
			value.D("operationType", "modify", "ns", value.D("db", "db", "coll", "v"), "operationDescription", viewDef),
		},
		"drop view": {
			oplog.Entry{Op: oplog.Delete, NS: "db.system.views", UUID: v, O: value.D("_id", "db.v")},
			nil,
			value.D("operationType", "drop", "ns", value.D("db", "db", "coll", "v")),
		},
		"periodic noop": {oplog.Entry{Op: oplog.Noop, O: value.D("msg", "periodic noop")}, nil, nil},
		"migrated insert": {
			oplog.Entry{Op: oplog.Insert, NS: "db.c", UUID: u, O: doc, O2: key, FromMigrate: true}, nil, nil,
		},
		"migrated drop": {
			oplog.Entry{Op: oplog.Command, NS: "db.$cmd", UUID: u, O: value.D("drop", "c"), FromMigrate: true}, nil, nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			log := newLog()
			log.Append(&tc.entry)
			check := func(want bson.Raw, s changestream.Spec) {
				got := all(t, log, s)
				if want == nil {
					assert.Empty(t, got)
					return
				}
				require.Len(t, got, 1)
				assert.Equal(t, want.String(), body(got[0]).String())
				assert.Equal(t, tc.entry.TS, timestamp(got[0]))
				assert.Equal(t, tc.entry.Wall.UnixMilli(), got[0].Lookup("wallTime").DateTime())
				require.NoError(t, got[0].Validate())
			}
			check(tc.plain, spec(t))
			check(tc.expanded, spec(t, "showExpandedEvents", true))
		})
	}
}

func TestUpdateEventsDescribeTheDiff(t *testing.T) {
	log := newLog()
	diff := value.D("u", value.D("a", 1), "sb", value.D("i", value.D("0", 2)))
	log.Append(&oplog.Entry{Op: oplog.Update, NS: "db.c", O: value.D("$v", 2, "diff", diff), O2: value.D("_id", 1)})

	e := all(t, log, spec(t))[0]
	assert.Equal(t, value.D("a", 1, "b.0", 2).String(), e.Lookup("updateDescription", "updatedFields").Document().String())
	e = all(t, log, spec(t, "showExpandedEvents", true))[0]
	assert.Equal(t, value.D("b.0", value.A("b", "0")).String(), e.Lookup("updateDescription", "disambiguatedPaths").Document().String())
	e = all(t, log, spec(t, "showRawUpdateDescription", true))[0]
	assert.Equal(t, value.D("$v", 2, "diff", diff).String(), e.Lookup("rawUpdateDescription").Document().String())
	assert.Empty(t, e.Lookup("updateDescription"))
}

func TestMigrationEventsAreShownOnRequest(t *testing.T) {
	log := newLog()
	e := insertEntry("db.c", value.UUID{1}, value.D("_id", 1))
	e.FromMigrate = true
	log.Append(e)
	assert.Equal(t, []string{"insert"}, kinds(all(t, log, spec(t, "showMigrationEvents", true))))
}

func TestNsTypeIsOfLaterServers(t *testing.T) {
	log := newLog()
	log.Append(commandEntry("db", value.UUID{1}, value.D("create", "c")))
	stream, err := changestream.Open(log, docs{}, spec(t, "showExpandedEvents", true).StartingAt(bson.Timestamp{T: 1}), nil, release.Version{8, 1})
	require.NoError(t, err)
	got, _ := rest(t, stream)
	assert.Equal(t, "collection", str(got[0], "nsType"))
}

func TestInsertsWithoutKeyInTheLogTakeItFromTheDocument(t *testing.T) {
	log := newLog()
	log.Append(&oplog.Entry{Op: oplog.Insert, NS: "db.c", O: value.D("_id", 1, "a", value.D("b", 5))})
	cat := docs{shardKey: value.D("a.b", 1, "missing", 1)}
	stream, err := changestream.Open(log, cat, spec(t).StartingAt(bson.Timestamp{T: 1}), nil, version)
	require.NoError(t, err)
	got, _ := rest(t, stream)
	assert.Equal(t, value.D("a.b", 5, "_id", 1).String(), got[0].Lookup("documentKey").Document().String())
}
