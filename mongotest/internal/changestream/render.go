package changestream

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// headerSize is about what an event takes besides its documents and its token.
const headerSize = 320

// render builds the event's document in one buffer: the fields in the server's
// order, the stored documents copied as they are.
func (m *maker) render(d *draft, op *operation, t *eventToken) (event, error) {
	full, err := m.fullDocument(d, op, t)
	if err != nil {
		return event{}, err
	}
	dst := make([]byte, 0, headerSize+len(t.data)+len(full.Value)+2*len(d.documentKey)+2*len(d.update)+len(d.description)+len(d.before))
	start, dst := bsoncore.AppendDocumentStart(dst)
	if op.inTxn {
		dst = bsoncore.AppendInt64Element(dst, "txnNumber", op.visible.Txn.Number)
		dst = appendDoc(dst, "lsid", op.visible.Txn.LSID)
	}
	if d.to != nil {
		dst = append(dst, nsElement("to", d.to.db, d.to.coll)...)
	}
	dst, idStart, idEnd := appendHead(dst, d.kind, t)
	if m.spec.ShowExpandedEvents && !t.UUID.IsZero() && !d.view {
		dst = bsoncore.AppendBinaryElement(dst, "collectionUUID", 4, t.UUID[:])
	}
	dst = bsoncore.AppendDateTimeElement(dst, "wallTime", op.visible.Wall.UnixMilli())
	if full.Type != 0 {
		dst = value.Append(dst, "fullDocument", full)
	}
	dst = append(dst, d.ns.element...)
	if d.documentKey != nil {
		dst = appendDoc(dst, "documentKey", d.documentKey)
	}
	dst = m.appendDetails(dst, d)
	if dst, err = m.appendPreImage(dst, d, op, t); err != nil {
		return event{}, err
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, start) // fails for a wrong index only
	return event{doc: dst, id: dst[idStart:idEnd:idEnd], time: t.time}, nil
}

// appendHead appends _id, operationType and clusterTime and returns where in
// dst the token's document lies.
func appendHead(dst []byte, kind string, t *eventToken) (_ []byte, idStart, idEnd int) {
	i, dst := bsoncore.AppendDocumentElementStart(dst, "_id")
	idStart = int(i)
	dst = bsoncore.AppendStringElement(dst, "_data", t.data)
	if t.typeBits != nil {
		dst = bsoncore.AppendBinaryElement(dst, "_typeBits", 0, t.typeBits)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i) // fails for a wrong index only
	idEnd = len(dst)
	dst = bsoncore.AppendStringElement(dst, "operationType", kind)
	dst = bsoncore.AppendTimestampElement(dst, "clusterTime", t.time.T, t.time.I)
	return dst, idStart, idEnd
}

func renderInvalidate(op *operation, t *eventToken) event {
	start, dst := bsoncore.AppendDocumentStart(make([]byte, 0, headerSize+len(t.data)))
	dst, idStart, idEnd := appendHead(dst, typeInvalidate, t)
	dst = bsoncore.AppendDateTimeElement(dst, "wallTime", op.visible.Wall.UnixMilli())
	dst, _ = bsoncore.AppendDocumentEnd(dst, start) // fails for a wrong index only
	return event{doc: dst, id: dst[idStart:idEnd:idEnd], time: t.time}
}

// appendDetails appends what only some events have.
func (m *maker) appendDetails(dst []byte, d *draft) []byte {
	expanded := m.spec.ShowExpandedEvents
	if expanded && d.description != nil {
		dst = appendDoc(dst, "operationDescription", d.description)
	}
	if d.update != nil && m.spec.ShowRawUpdateDescription {
		dst = appendDoc(dst, "rawUpdateDescription", d.update)
	} else if d.update != nil {
		diff, _ := d.update.Lookup("diff").DocumentOK()
		dst = appendDoc(dst, "updateDescription", update.DescribeDiff(diff, expanded && m.features.disambiguatedPaths))
	}
	if d.before != nil {
		dst = appendDoc(dst, "stateBeforeChange", d.before)
	}
	if d.nsType != "" && m.features.nsType {
		dst = bsoncore.AppendStringElement(dst, "nsType", d.nsType)
	}
	return dst
}

// fullDocument returns the value of the field, Type 0 if the event has none.
func (m *maker) fullDocument(d *draft, op *operation, t *eventToken) (bson.RawValue, error) {
	if d.full != nil {
		return value.Doc(d.full), nil
	}
	if d.kind != typeUpdate {
		return bson.RawValue{}, nil
	}
	var image bson.Raw
	switch m.spec.FullDocument {
	case ImageUpdateLookup:
		image, _ = m.catalog.LookupDoc(d.uuid, d.documentKey)
	case ImageWhenAvailable, ImageRequired:
		image = op.image.Post
	default:
		return bson.RawValue{}, nil
	}
	if image == nil {
		if m.spec.FullDocument == ImageRequired {
			return bson.RawValue{}, imageMissing("post-image", "update", tokenDoc(t.data, t.typeBits))
		}
		return value.Null(), nil
	}
	return value.Doc(image), nil
}

func (m *maker) appendPreImage(dst []byte, d *draft, op *operation, t *eventToken) ([]byte, error) {
	if m.spec.FullDocumentBeforeChange == ImageOff {
		return dst, nil
	}
	switch d.kind {
	case typeUpdate, typeReplace, typeDelete:
	default:
		return dst, nil
	}
	if op.image.Pre != nil {
		return appendDoc(dst, "fullDocumentBeforeChange", op.image.Pre), nil
	}
	if m.spec.FullDocumentBeforeChange == ImageRequired {
		return dst, imageMissing("pre-image", "update, delete and replace", tokenDoc(t.data, t.typeBits))
	}
	return bsoncore.AppendNullElement(dst, "fullDocumentBeforeChange"), nil
}

func appendDoc(dst []byte, name string, doc bson.Raw) []byte {
	return value.Append(dst, name, value.Doc(doc))
}
