package shardworker

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
)

type eventKind uint8

const (
	kindPut    eventKind = iota // insert or replace: the whole document
	kindUpdate                  // what changed
	kindDelete
	kindSchema  // anything that is not about one document
	kindIgnored // nothing to do for it, such as the end of a transaction
)

// An event is one change of the source as its stream gave it. Only the header
// is parsed; key and body are slices of raw.
type event struct {
	kind  eventKind
	op    string // operationType
	time  shardferry.ClusterTime
	index int // among the events of the same time
	uuid  shardferry.UUID
	key   bson.Raw // documentKey
	body  bson.Raw // fullDocument or updateDescription
	ns    shardferry.Namespace
	raw   bson.Raw
	held  int64 // bytes of the account of events
}

// parseEvent reads the header fields of a change event. It keeps raw.
func parseEvent(raw bson.Raw) (event, error) {
	ev := event{raw: raw}
	var full, update bson.Raw
	rest, err := body(raw)
	if err != nil {
		return event{}, err
	}
	for len(rest) > 0 {
		elem, tail, ok := bsoncore.ReadElement(rest)
		if !ok {
			return event{}, errors.New("a change event is cut short")
		}
		rest = tail
		v := bson.RawElement(elem).Value()
		switch string(elem.KeyBytes()) {
		case "operationType":
			ev.op, _ = v.StringValueOK()
		case "clusterTime":
			ev.time.T, ev.time.I, _ = v.TimestampOK()
		case "collectionUUID":
			ev.uuid, _ = shardferry.ParseUUID(v)
		case "ns":
			ev.ns = namespace(v)
		case "documentKey":
			ev.key, _ = v.DocumentOK()
		case "fullDocument":
			full, _ = v.DocumentOK()
		case "updateDescription":
			update, _ = v.DocumentOK()
		}
	}
	return ev.classified(full, update)
}

func (ev event) classified(full, update bson.Raw) (event, error) {
	switch ev.op {
	case "insert", "replace":
		ev.kind, ev.body = kindPut, full
	case "update":
		ev.kind, ev.body = kindUpdate, update
	case "delete":
		ev.kind = kindDelete
	case "endOfTransaction":
		ev.kind = kindIgnored
	default:
		ev.kind = kindSchema
	}
	switch {
	case ev.op == "" || ev.time.IsZero():
		return event{}, errors.New("a change event lacks its operationType or clusterTime")
	case ev.kind < kindDelete && ev.body == nil, ev.kind <= kindDelete && ev.key == nil:
		return event{}, fmt.Errorf("the %s event at %v lacks its document or its documentKey", ev.op, ev.time)
	case ev.kind <= kindDelete && ev.ns.Internal():
		ev.kind = kindIgnored
	case ev.kind <= kindDelete && ev.uuid.IsZero():
		return event{}, fmt.Errorf("the %s event at %v lacks its collectionUUID: the source must be MongoDB 6.0 or later", ev.op, ev.time)
	}
	return ev, nil
}

// schemaChange gives the event as the coordinator wants it.
func (ev event) schemaChange(shard shardferry.ShardID) shardferry.SchemaChange {
	to, _ := ev.raw.LookupErr("to")
	return shardferry.SchemaChange{
		Shard: shard, Time: ev.time, Index: ev.index, Kind: ev.op,
		UUID: ev.uuid, NS: ev.ns, To: namespace(to), Event: ev.raw,
	}
}

// namespace reads {db, coll}; coll is empty for a database.
func namespace(v bson.RawValue) shardferry.Namespace {
	doc, ok := v.DocumentOK()
	if !ok {
		return shardferry.Namespace{}
	}
	db, _ := doc.Lookup("db").StringValueOK()
	coll, _ := doc.Lookup("coll").StringValueOK()
	return shardferry.Namespace{DB: db, Coll: coll}
}

// body returns the elements of a document without its frame.
func body(doc bson.Raw) ([]byte, error) {
	if len(doc) < 5 || doc[len(doc)-1] != 0 {
		return nil, errors.New("not a BSON document")
	}
	return doc[4 : len(doc)-1], nil
}
