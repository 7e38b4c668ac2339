package wire

import (
	"encoding/binary"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A reply is a reply's document under construction: the handler's document,
// which is not copied until it is sent, and the elements that follow.
type reply struct {
	body        bson.Raw
	tail        []byte
	opTime      bson.Timestamp
	clusterTime bson.Timestamp
}

// newReply returns the reply of a handler's answer. A handler that fails may
// return a Response beside its error, for its times.
func newReply(resp *command.Response, err error) (*reply, error) {
	r := &reply{}
	if resp != nil {
		r.opTime, r.clusterTime = resp.OperationTime, resp.ClusterTime
	}
	if err != nil {
		return r, r.setError(mongoerr.From(err))
	}
	if resp != nil {
		r.body = resp.Body
	}
	r.tail = bsoncore.AppendDoubleElement(nil, "ok", 1)
	return r, nil
}

// setError makes r {ok: 0, errmsg, code, codeName, errorLabels, ...}.
func (r *reply) setError(e *mongoerr.Error) error {
	f := bsoncore.AppendDoubleElement(nil, "ok", 0)
	f = bsoncore.AppendStringElement(f, "errmsg", e.Message)
	f = bsoncore.AppendInt32Element(f, "code", int32(e.Code))
	f = bsoncore.AppendStringElement(f, "codeName", mongoerr.CodeName(e.Code))
	if len(e.Labels) > 0 {
		labels := bsoncore.NewArrayBuilder()
		for _, l := range e.Labels {
			labels.AppendString(l)
		}
		f = bsoncore.AppendArrayElement(f, "errorLabels", labels.Build())
	}
	for _, info := range e.Info {
		field := info.Value
		if field == nil {
			field = bson.Null{} // the driver encodes nil only inside documents
		}
		t, data, err := bson.MarshalValue(field)
		if err != nil {
			return fmt.Errorf("error %d: field %s: %w", e.Code, info.Key, err)
		}
		f = bsoncore.AppendValueElement(f, info.Key, bsoncore.Value{Type: bsoncore.Type(t), Data: data})
	}
	r.tail = f
	return nil
}

// add appends a field unless the handler has set it.
func (r *reply) add(key string, v bsoncore.Value) {
	if _, err := r.body.LookupErr(key); err != nil {
		r.tail = bsoncore.AppendValueElement(r.tail, key, v)
	}
}

// appendTo appends the whole document, with $clusterTime and operationTime as a
// server without keys signs them: 20 zero bytes and key 0.
func (r *reply) appendTo(dst []byte) []byte {
	start, dst := bsoncore.AppendDocumentStart(dst)
	if len(r.body) > 5 {
		dst = append(dst, r.body[4:len(r.body)-1]...)
	}
	dst = append(dst, r.tail...)
	if !r.clusterTime.IsZero() {
		var sig int32
		var ct int32
		ct, dst = bsoncore.AppendDocumentElementStart(dst, "$clusterTime")
		dst = bsoncore.AppendTimestampElement(dst, "clusterTime", r.clusterTime.T, r.clusterTime.I)
		sig, dst = bsoncore.AppendDocumentElementStart(dst, "signature")
		dst = bsoncore.AppendBinaryElement(dst, "hash", 0, make([]byte, 20))
		dst = bsoncore.AppendInt64Element(dst, "keyId", 0)
		dst, _ = bsoncore.AppendDocumentEnd(dst, sig)
		dst, _ = bsoncore.AppendDocumentEnd(dst, ct)
	}
	if !r.opTime.IsZero() {
		dst = bsoncore.AppendTimestampElement(dst, "operationTime", r.opTime.T, r.opTime.I)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, start) // fails only on a wrong start index
	return dst
}

// appendReply appends the whole message that answers m.
func (r *reply) appendReply(dst []byte, m *message, responseTo, requestID int32, flags uint32) []byte {
	start := len(dst)
	if m.query {
		dst = appendHeader(dst, responseTo, requestID, opReply)
		dst = appendReplyHead(dst)
		dst = r.appendTo(dst)
		finishMessage(dst[start:])
		return dst
	}
	withSum := m.flags&flagChecksum != 0
	if withSum {
		flags |= flagChecksum
	}
	dst = appendHeader(dst, responseTo, requestID, opMsg)
	dst = binary.LittleEndian.AppendUint32(dst, flags)
	dst = append(dst, 0)
	dst = r.appendTo(dst)
	if withSum {
		dst = append(dst, 0, 0, 0, 0)
	}
	finishMessage(dst[start:])
	if withSum {
		n := len(dst) - 4
		binary.LittleEndian.PutUint32(dst[n:], checksum(dst[start:n]))
	}
	return dst
}
