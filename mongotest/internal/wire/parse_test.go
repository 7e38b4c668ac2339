package wire

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// build returns an OP_MSG with the given flags and sections.
func build(flags uint32, sections ...[]byte) []byte {
	msg := appendHeader(nil, 0, 7, opMsg)
	msg = binary.LittleEndian.AppendUint32(msg, flags)
	for _, s := range sections {
		msg = append(msg, s...)
	}
	if flags&flagChecksum != 0 {
		msg = append(msg, 0, 0, 0, 0)
	}
	finishMessage(msg)
	if flags&flagChecksum != 0 {
		binary.LittleEndian.PutUint32(msg[len(msg)-4:], checksum(msg[:len(msg)-4]))
	}
	return msg
}

func body(d bson.D) []byte {
	b, err := bson.Marshal(d)
	if err != nil {
		panic(err)
	}
	return append([]byte{0}, b...)
}

func sequence(id string, docs ...bson.D) []byte {
	s := []byte{1, 0, 0, 0, 0}
	s = append(append(s, id...), 0)
	for _, d := range docs {
		s = append(s, body(d)[1:]...)
	}
	binary.LittleEndian.PutUint32(s[1:], uint32(len(s)-1))
	return s
}

func query(ns string, d bson.D) []byte {
	msg := appendHeader(nil, 0, 7, opQuery)
	msg = append(msg, 0, 0, 0, 0)
	msg = append(append(msg, ns...), 0)
	msg = append(msg, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
	msg = append(msg, body(d)[1:]...)
	finishMessage(msg)
	return msg
}

func TestParseReadsWhatClientsSend(t *testing.T) {
	insert := bson.D{{"insert", "c"}, {"$db", "d"}}
	tests := map[string]struct {
		msg  []byte
		name string
		db   string
		docs int
	}{
		"body only":           {build(0, body(insert)), "insert", "d", 0},
		"sequence after body": {build(0, body(insert), sequence("documents", bson.D{{"_id", 1}}, bson.D{})), "insert", "d", 2},
		"sequence first":      {build(0, sequence("documents", bson.D{{"_id", 1}}), body(insert)), "insert", "d", 1},
		"checksum":            {build(flagChecksum, body(insert)), "insert", "d", 0},
		"optional flag":       {build(1<<20, body(insert)), "insert", "d", 0},
		"OP_QUERY":            {query("admin.$cmd", bson.D{{"isMaster", 1}}), "isMaster", "admin", 0},
		"wrapped OP_QUERY":    {query("admin.$cmd", bson.D{{"$query", bson.D{{"isMaster", 1}}}}), "isMaster", "admin", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := parse(parseFrame(tc.msg))
			require.NoError(t, err)
			assert.Equal(t, tc.name, m.name)
			assert.Equal(t, tc.db, m.db)
			var docs []bson.Raw
			for _, s := range m.sequences {
				docs = append(docs, s.Docs...)
			}
			assert.Len(t, docs, tc.docs)
		})
	}
}

func TestParseRefusesWhatIsNoMessage(t *testing.T) {
	good := body(bson.D{{"ping", 1}, {"$db", "d"}})
	badSum := build(flagChecksum, good)
	badSum[len(badSum)-1]++
	badOp := build(0, good)
	badOp[12]++
	tests := map[string][]byte{
		"no flags":              build(0)[:headerLen],
		"no body":               build(0),
		"two bodies":            build(0, good, good),
		"required flag":         build(1<<5, good),
		"section kind":          build(0, good, []byte{2}),
		"truncated body":        build(0, good[:len(good)-1]),
		"truncated sequence":    build(0, good, sequence("documents", bson.D{{"a", 1}})[:9]),
		"two equal sequences":   build(0, good, sequence("updates"), sequence("updates")),
		"unterminated id":       build(0, good, []byte{1, 5, 0, 0, 0, 'x'}),
		"checksum":              badSum,
		"opcode":                badOp,
		"OP_QUERY on data":      query("d.c", bson.D{{"isMaster", 1}}),
		"compressed, no head":   compressed(opMsg, 10, 1, nil)[:headerLen+3],
		"compressed, huge":      compressed(opMsg, 1<<30, 3, []byte("x")),
		"compressed, negative":  compressed(opMsg, -1, 1, []byte("x")),
		"compressed, garbage":   compressed(opMsg, 10, 1, []byte("xxxxxxxx")),
		"compressed, unknown":   compressed(opMsg, 1, 9, []byte("x")),
		"compressed twice":      compressed(opCompressed, 1, 0, []byte("x")),
		"compressed, too short": compressed(opMsg, 5, 0, []byte("x")),
	}
	for name, msg := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := parse(parseFrame(msg))
			require.ErrorIs(t, err, errProtocol)
			assert.Nil(t, m)
		})
	}
}

// A message whose frame is whole but whose documents are not is answered.
func TestParseAnswersBadDocuments(t *testing.T) {
	badBSON := body(bson.D{{"ping", "x"}, {"$db", "d"}})
	badBSON[5] = 0x7e // no such type
	tests := map[string]struct {
		msg  []byte
		code mongoerr.Code
	}{
		"bad body":     {build(0, badBSON), mongoerr.InvalidBSON},
		"no $db":       {build(0, body(bson.D{{"ping", 1}})), locationNoDB},
		"empty":        {build(0, body(bson.D{})), mongoerr.CommandNotFound},
		"bad document": {build(0, body(bson.D{{"insert", "c"}, {"$db", "d"}}), append(sequence("documents"), badBSON[1:]...)), mongoerr.InvalidBSON},
	}
	// The sequence's size must cover the document appended to it.
	bad := tests["bad document"]
	first := len(body(bson.D{{"insert", "c"}, {"$db", "d"}}))
	at := headerLen + 4 + first + 1
	binary.LittleEndian.PutUint32(bad.msg[at:], uint32(len(bad.msg)-at))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := parse(parseFrame(tc.msg))
			require.NotNil(t, m)
			assert.Truef(t, mongoerr.Is(err, tc.code), "%v", err)
		})
	}
}

// Documents are not copied: each points into the message it came in.
func TestDocumentsAliasTheMessage(t *testing.T) {
	msg := build(0, body(bson.D{{"insert", "c"}, {"$db", "d"}}), sequence("documents", bson.D{{"a", "zzz"}}))
	m, err := parse(parseFrame(msg))
	require.NoError(t, err)
	doc := m.sequences[0].Docs[0]
	assert.Same(t, &msg[len(msg)-1], &doc[len(doc)-1])
}

// A checksum on the request is answered with one.
func TestReplyHasChecksumIfRequestHad(t *testing.T) {
	m, err := parse(parseFrame(build(flagChecksum, body(bson.D{{"ping", 1}, {"$db", "d"}}))))
	require.NoError(t, err)
	r, err := newReply(nil, nil)
	require.NoError(t, err)
	out := r.appendReply(nil, m, m.requestID, 1, 0)
	assert.Equal(t, checksum(out[:len(out)-4]), binary.LittleEndian.Uint32(out[len(out)-4:]))
	answer, err := parse(parseFrame(out))
	require.Truef(t, mongoerr.Is(err, locationNoDB), "%v", err) // a reply has no $db
	assert.Equal(t, "ok", answer.name)
}

func compressed(op, size int32, compressor byte, payload []byte) []byte {
	msg := appendHeader(nil, 0, 7, opCompressed)
	msg = binary.LittleEndian.AppendUint32(msg, uint32(op))
	msg = binary.LittleEndian.AppendUint32(msg, uint32(size))
	msg = append(append(msg, compressor), payload...)
	finishMessage(msg)
	return msg
}

// No sequence of bytes makes the parser panic, and what it accepts has a name.
func FuzzParse(f *testing.F) {
	insert := body(bson.D{{"insert", "c"}, {"$db", "d"}})
	f.Add(build(0, insert, sequence("documents", bson.D{{"_id", 1}})))
	f.Add(build(flagChecksum, insert))
	f.Add(query("admin.$cmd", bson.D{{"isMaster", 1}}))
	f.Add(compressed(opMsg, 5, 0, []byte("xxxxx")))
	if c, err := compress(build(0, insert), 1); err == nil {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) < headerLen {
			return
		}
		m, err := parse(parseFrame(msg))
		if err == nil {
			require.NotNil(t, m.body)
			require.NoError(t, m.body.Validate())
			return
		}
		if m == nil {
			require.ErrorIs(t, err, errProtocol)
		}
	})
}

func TestNoDocumentIsLargerThanAServerHandles(t *testing.T) {
	of := func(n int) bson.D {
		return bson.D{{"insert", "c"}, {"$db", "d"}, {"x", make([]byte, n-len(body(bson.D{{"insert", "c"}, {"$db", "d"}, {"x", []byte{}}}))+1)}}
	}
	for n, fits := range map[int]bool{maxInternalSize: true, maxInternalSize + 1: false} {
		for _, msg := range [][]byte{build(0, body(of(n))), build(0, body(bson.D{{"insert", "c"}, {"$db", "d"}}), sequence("documents", of(n)))} {
			_, err := parse(parseFrame(msg))
			assert.Equal(t, !fits, mongoerr.Is(err, mongoerr.BSONObjectTooLarge), "%d bytes: %v", n, err)
		}
	}
}
