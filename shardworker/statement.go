package shardworker

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

// commandBytes bounds one command well below the server's 16 MB; a single
// statement of any size is let through.
const commandBytes = 8 << 20

// statementBytes is the most that a command can hold beside its own fields: a
// server takes documents of 16 MB and 16 KiB, and commands are documents
// (server: BSONObjMaxInternalSize).
const statementBytes = 16<<20 + 8<<10

type statementKind uint8

const (
	deletes statementKind = iota // the document of a key is gone
	puts                         // the document of a key is this one
	deltas                       // the document of a key changed; it must exist
	inserts                      // there is none of the key, and then this one
)

// A statement is one entry of a write command.
type statement struct {
	kind   statementKind
	key    bson.Raw
	doc    bson.Raw      // puts and inserts
	update bson.RawValue // deltas
	loose  bool          // the key matches as the collection's own collation compares
	// strayOf, of a delete: only a document of this _id whose key is not strayOf.
	strayOf bson.Raw
	size    int
}

// oversized reports whether the statement that puts doc, which holds the key and
// the document, is too large for a command. An insert holds the document alone.
func oversized(key, doc bson.Raw) bool { return len(key)+len(doc) > statementBytes }

// A command holds statements of one kind on one namespace, of different keys, so
// that their order does not matter.
type command struct {
	coll       *shardferry.Collection
	kind       statementKind
	statements []statement
}

// A writeSet groups statements into commands.
type writeSet struct {
	order []*pending
	open  map[setKey]*pending
}

type setKey struct {
	uuid shardferry.UUID
	kind statementKind
}

type pending struct {
	command
	size int
}

func (w *writeSet) add(coll *shardferry.Collection, s statement) {
	k := setKey{coll.UUID, s.kind}
	p := w.open[k]
	if p == nil || p.size+s.size > commandBytes {
		if w.open == nil {
			w.open = map[setKey]*pending{}
		}
		p = &pending{command: command{coll: coll, kind: s.kind}}
		w.open[k] = p
		w.order = append(w.order, p)
	}
	p.statements = append(p.statements, s)
	p.size += s.size
}

func (w *writeSet) commands() []command {
	out := make([]command, 0, len(w.order))
	for _, p := range w.order {
		out = append(out, p.command)
	}
	return out
}

// build returns the command as an open document and its start.
func (c command) build() (cmd []byte, start int32) {
	verb, list := "update", "updates"
	switch c.kind {
	case deletes:
		verb, list = "delete", "deletes"
	case inserts:
		verb, list = "insert", "documents"
	case puts, deltas:
	}
	start, cmd = bsoncore.AppendDocumentStart(nil)
	cmd = bsoncore.AppendStringElement(cmd, verb, c.coll.Destination.Coll)
	cmd = bsoncore.AppendBooleanElement(cmd, "ordered", false)
	empty := false
	for _, s := range c.statements {
		empty = empty || (s.doc != nil && inspect(s.doc).emptyTimestamp)
	}
	if c.kind != deletes {
		cmd = appendDocumentOptions(cmd, empty)
	}
	i, cmd := bsoncore.AppendArrayElementStart(cmd, list)
	for n, s := range c.statements {
		if c.kind == inserts {
			cmd = bsoncore.AppendDocumentElement(cmd, strconv.Itoa(n), s.doc)
			continue
		}
		at, open := bsoncore.AppendDocumentElementStart(cmd, strconv.Itoa(n))
		cmd = closeDocument(s.append(open, c.coll), at)
	}
	return closeDocument(cmd, i), start
}

func (s statement) append(dst []byte, coll *shardferry.Collection) []byte {
	q := filter(s.key)
	if s.strayOf != nil {
		q = strayFilter(s.strayOf)
	}
	dst = bsoncore.AppendDocumentElement(dst, "q", q)
	switch s.kind {
	case deletes:
		dst = bsoncore.AppendInt32Element(dst, "limit", 1)
	case puts:
		dst = append(appendPut(dst, s.doc), bsoncore.AppendBooleanElement(nil, "upsert", true)...)
	case deltas:
		dst = keyhash.AppendElement(dst, "u", s.update)
	case inserts: // no statement of an update
	}
	if coll.Collated && !s.loose {
		dst = appendSimpleCollation(dst)
	}
	return dst
}

// appendPut makes the document the u of an update. Names that begin with a
// dollar sign are refused in a replacement, but not in a literal.
func appendPut(dst []byte, doc bson.Raw) []byte {
	if !inspect(doc).dollar {
		return bsoncore.AppendDocumentElement(dst, "u", doc)
	}
	i, dst := bsoncore.AppendArrayElementStart(dst, "u")
	at, dst := bsoncore.AppendDocumentElementStart(dst, "0")
	value := literal(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	dst = bsoncore.AppendDocumentElement(dst, "$replaceWith", value)
	return closeDocument(closeDocument(dst, at), i)
}

// strayFilter matches a document of the key's _id that has another shard key.
func strayFilter(key bson.Raw) bson.Raw {
	return build(func(dst []byte) []byte {
		i, open := bsoncore.AppendDocumentElementStart(dst, "_id")
		dst = closeDocument(keyhash.AppendElement(open, "$eq", idOf(key)), i)
		at, dst := bsoncore.AppendArrayElementStart(dst, "$nor")
		dst = bsoncore.AppendDocumentElement(dst, "0", filter(key))
		return closeDocument(dst, at)
	})
}

type traits struct{ dollar, emptyTimestamp bool }

// inspect looks at the top level of a document for what needs another form.
func inspect(doc bson.Raw) traits {
	var t traits
	eachField(doc, func(name string, v bson.RawValue) {
		t.dollar = t.dollar || strings.HasPrefix(name, "$")
		if v.Type == bson.TypeTimestamp && name != "_id" {
			sec, i, _ := v.TimestampOK()
			t.emptyTimestamp = t.emptyTimestamp || (sec == 0 && i == 0)
		}
	})
	return t
}
