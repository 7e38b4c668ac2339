package wire

import (
	"encoding/binary"
	"hash/crc32"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Flag bits of OP_MSG. A set bit below 16 that is not known here must be
// refused; one from 16 on is ignored.
const (
	flagChecksum       = 1 << 0
	flagMoreToCome     = 1 << 1
	flagExhaustAllowed = 1 << 16
	flagsRequired      = 1<<16 - 1
)

// A message is one command as a client sent it.
type message struct {
	requestID  int32
	flags      uint32
	query      bool // sent as OP_QUERY: answered with OP_REPLY
	compressor byte // how it was compressed, 0 if not
	name       string
	db         string
	body       bson.Raw
	sequences  []command.Sequence
}

// wantsReply is false for a write with w: 0.
func (m *message) wantsReply() bool { return m.flags&flagMoreToCome == 0 }

// parse reads a frame as a command. An error that is errProtocol ends the
// connection. For any other the message is returned too, and the error is its
// answer.
func parse(f frame) (*message, error) {
	m := &message{requestID: f.requestID}
	payload, op := f.payload(), f.op
	if op == opCompressed {
		var err error
		if payload, op, err = m.decompress(payload); err != nil {
			return nil, err
		}
	}
	switch op {
	case opMsg:
		if err := m.parseMsg(payload, f); err != nil {
			return nil, err
		}
	case opQuery:
		if err := m.parseQuery(payload); err != nil {
			return nil, err
		}
	default:
		return nil, protocolError("opcode %d", op)
	}
	return m, m.check()
}

// parseMsg reads the flags, sections and checksum of OP_MSG.
func (m *message) parseMsg(p []byte, f frame) error {
	if len(p) < 4 {
		return protocolError("OP_MSG of %d bytes", len(p))
	}
	m.flags = binary.LittleEndian.Uint32(p)
	if unknown := m.flags & flagsRequired &^ (flagChecksum | flagMoreToCome); unknown != 0 {
		return protocolError("OP_MSG flags %#x", unknown)
	}
	p = p[4:]
	if m.flags&flagChecksum != 0 {
		if len(p) < 4 {
			return protocolError("no room for the checksum")
		}
		sum := binary.LittleEndian.Uint32(p[len(p)-4:])
		p = p[:len(p)-4]
		if m.compressor == 0 && sum != checksum(f.raw[:len(f.raw)-4]) {
			return protocolError("checksum mismatch")
		}
	}
	for len(p) > 0 {
		var err error
		if p, err = m.parseSection(p[0], p[1:]); err != nil {
			return err
		}
	}
	if m.body == nil {
		return protocolError("OP_MSG without a body")
	}
	return nil
}

// parseSection reads one section of the given kind and returns what follows.
func (m *message) parseSection(kind byte, p []byte) ([]byte, error) {
	switch kind {
	case 0:
		doc, rest, err := cutDocument(p)
		if err != nil {
			return nil, err
		}
		if m.body != nil {
			return nil, protocolError("OP_MSG with two bodies")
		}
		m.body = doc
		return rest, nil
	case 1:
		return m.parseSequence(p)
	default:
		return nil, protocolError("section kind %d", kind)
	}
}

// parseSequence reads a document sequence: its size, identifier and documents.
func (m *message) parseSequence(p []byte) ([]byte, error) {
	if len(p) < 4 {
		return nil, protocolError("truncated document sequence")
	}
	n := int32(binary.LittleEndian.Uint32(p))
	if n < 5 || int64(n) > int64(len(p)) {
		return nil, protocolError("document sequence of %d bytes in %d", n, len(p))
	}
	section, rest := p[4:n], p[n:]
	id, section, ok := cutCString(section)
	if !ok {
		return nil, protocolError("unterminated sequence identifier")
	}
	for _, s := range m.sequences {
		if s.ID == id {
			return nil, protocolError("two document sequences %q", id)
		}
	}
	seq := command.Sequence{ID: id}
	for len(section) > 0 {
		doc, more, err := cutDocument(section)
		if err != nil {
			return nil, err
		}
		seq.Docs = append(seq.Docs, doc)
		section = more
	}
	m.sequences = append(m.sequences, seq)
	return rest, nil
}

// check validates every document and finds the command's name and database.
// Its errors are answers.
func (m *message) check() error {
	if len(m.body) > maxInternalSize {
		err := tooLarge(m.body)
		m.body = nil
		return err
	}
	if err := value.Validate(m.body); err != nil {
		m.body = nil
		if mongoerr.Is(err, mongoerr.Overflow) {
			return err // nested too deep
		}
		return mongoerr.New(mongoerr.InvalidBSON, "%v", err)
	}
	for _, s := range m.sequences {
		for i, doc := range s.Docs {
			if len(doc) > maxInternalSize {
				return tooLarge(doc)
			}
			if err := value.Validate(doc); err != nil {
				return mongoerr.New(mongoerr.InvalidBSON, "%s.%d: %v", s.ID, i, err)
			}
		}
	}
	first, err := m.body.IndexErr(0)
	if err != nil {
		return mongoerr.New(mongoerr.CommandNotFound, "no such command: ''")
	}
	m.name = first.Key()
	if m.query {
		return nil
	}
	db, ok := m.body.Lookup("$db").StringValueOK()
	if !ok {
		return mongoerr.New(locationNoDB, "OP_MSG requests require a $db argument")
	}
	m.db = db
	return nil
}

// maxInternalSize bounds every document that a server handles, commands too
// (server: BSONObjMaxInternalSize): the largest document to store and 16 KiB.
const maxInternalSize = 16<<20 + 16<<10

func tooLarge(doc bson.Raw) error {
	return mongoerr.New(mongoerr.BSONObjectTooLarge, "BSONObj size: %d (0x%X) is invalid. Size must be between 0 and %d(16MB)",
		len(doc), len(doc), maxInternalSize)
}

// locationNoDB is the server's code for a command without $db.
const locationNoDB mongoerr.Code = 40571

// cutDocument splits the document at the start of p off.
func cutDocument(p []byte) (doc bson.Raw, rest []byte, err error) {
	if len(p) < 5 {
		return nil, nil, protocolError("truncated document")
	}
	n := int32(binary.LittleEndian.Uint32(p))
	if n < 5 || int64(n) > int64(len(p)) {
		return nil, nil, protocolError("document of %d bytes in %d", n, len(p))
	}
	return bson.Raw(p[:n:n]), p[n:], nil
}

// cutCString splits the zero-terminated string at the start of p off.
func cutCString(p []byte) (s string, rest []byte, ok bool) {
	for i, b := range p {
		if b == 0 {
			return string(p[:i]), p[i+1:], true
		}
	}
	return "", nil, false
}

// checksum is the CRC-32C of OP_MSG over everything before it.
func checksum(msg []byte) uint32 {
	return crc32.Checksum(msg, crc32.MakeTable(crc32.Castagnoli))
}
