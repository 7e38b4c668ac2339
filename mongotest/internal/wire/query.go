package wire

import (
	"encoding/binary"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// parseQuery reads OP_QUERY: flags, "<db>.$cmd", skip, limit, the query.
// Servers since 6.0 answer it for the handshake only.
func (m *message) parseQuery(p []byte) error {
	if len(p) < 4 {
		return protocolError("OP_QUERY of %d bytes", len(p))
	}
	m.query = true
	ns, p, ok := cutCString(p[4:])
	if !ok || len(p) < 8 {
		return protocolError("truncated OP_QUERY")
	}
	db, isCommand := strings.CutSuffix(ns, ".$cmd")
	if !isCommand {
		return protocolError("OP_QUERY on %q", ns)
	}
	doc, _, err := cutDocument(p[8:])
	if err != nil {
		return err
	}
	m.db, m.body = db, unwrapQuery(doc)
	return nil
}

// unwrapQuery returns the command inside {$query: {...}, $readPreference: ...},
// the form old drivers send to routers.
func unwrapQuery(doc bson.Raw) bson.Raw {
	for _, key := range []string{"$query", "query"} {
		if v, err := doc.LookupErr(key); err == nil {
			if inner, ok := v.DocumentOK(); ok {
				return inner
			}
		}
	}
	return doc
}

// checkQuery refuses OP_QUERY for anything but the handshake.
func (m *message) checkQuery() error {
	if m.query && !isHello(m.name) {
		return mongoerr.New(mongoerr.UnsupportedOpQueryCommand,
			"Unsupported OP_QUERY command: %s. The client driver may require an upgrade.", m.name)
	}
	return nil
}

// appendReplyHead appends what precedes the one document of OP_REPLY: flags
// (AwaitCapable), cursor id, starting position, number of documents.
func appendReplyHead(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, 8)
	dst = binary.LittleEndian.AppendUint64(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, 1)
}
