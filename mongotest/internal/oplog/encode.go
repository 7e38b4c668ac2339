package oplog

import (
	"encoding/binary"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
)

// An entry in a frame is its length and then, in this order: times, kind and
// what else the flags say that it has.
const (
	hasUUID = 1 << iota
	hasO
	refO // the operation is a document that the log already has: its place
	hasO2
	hasMigrate
	hasTxn
	isMulti
	hasPre
	hasPost
	refPost
	hasInner
)

// entryHead is the length of an entry's fixed part: timestamp, term, wall clock,
// kind, flags.
const entryHead = 8 + 8 + 8 + 1 + 2

// errEntry reports an entry that is not what appendEntry makes.
var errEntry = errors.New("oplog: malformed entry")

// appendEntry adds e to a frame. A document that place finds is only referred
// to; lowest is the oldest segment of those.
func appendEntry(dst []byte, e *Entry, place func([]byte) (disk.Place, bool), lowest *uint32) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	var flags uint16
	dst = appendTime(dst, e.TS)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Term))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Wall.UnixNano()))
	dst = append(dst, byte(e.Op), 0, 0)
	dst = appendBytes(dst, []byte(e.NS))
	if !e.UUID.IsZero() {
		flags |= hasUUID
		dst = append(dst, e.UUID[:]...)
	}
	doc := func(d bson.Raw, has, ref uint16) {
		if d == nil {
			return
		}
		flags |= has
		if ref != 0 {
			if p, ok := place(d); ok {
				flags |= ref
				*lowest = min(*lowest, p.Segment)
				dst = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(dst, p.Segment), p.Offset)
				return
			}
		}
		dst = appendBytes(dst, d)
	}
	doc(e.O, hasO, refO)
	doc(e.O2, hasO2, 0)
	if e.FromMigrate {
		flags |= hasMigrate
	}
	if e.Txn.LSID != nil {
		flags |= hasTxn
		dst = appendBytes(dst, e.Txn.LSID)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Txn.Number))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Txn.StmtID))
		dst = appendTime(dst, e.Txn.Prev)
		if e.Txn.Multi {
			flags |= isMulti
		}
	}
	doc(e.Pre, hasPre, 0) // of an old document, which need not stay for it
	doc(e.Post, hasPost, refPost)
	if e.Inner != nil {
		flags |= hasInner
		dst = binary.AppendUvarint(dst, uint64(len(e.Inner)))
		for _, img := range e.Inner {
			dst = appendBytes(appendBytes(dst, img.Pre), img.Post)
		}
	}
	binary.LittleEndian.PutUint16(dst[start+4+entryHead-2:], flags)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func appendTime(dst []byte, ts bson.Timestamp) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(dst, ts.T), ts.I)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// entryAt returns the entry that begins at b, without its length.
func entryAt(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errEntry
	}
	n := binary.LittleEndian.Uint32(b)
	if n < entryHead || uint64(n) > uint64(len(b)-4) {
		return nil, errEntry
	}
	return b[4 : 4+n : 4+n], nil
}

// entryTimes returns what is at the beginning of every entry.
func entryTimes(b []byte) (ts bson.Timestamp, term int64) {
	return bson.Timestamp{T: binary.LittleEndian.Uint32(b), I: binary.LittleEndian.Uint32(b[4:])},
		int64(binary.LittleEndian.Uint64(b[8:]))
}

// decodeEntry reads what appendEntry has made. The entry's documents are b's
// bytes or those that doc returns.
func decodeEntry(b []byte, intern func([]byte) string, doc func(disk.Place) []byte) (*Entry, error) {
	if len(b) < entryHead {
		return nil, errEntry
	}
	e := &Entry{Op: Op(b[24])}
	e.TS, e.Term = entryTimes(b)
	e.Wall = time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:])))
	r := reader{rest: b[entryHead:], doc: doc}
	flags := binary.LittleEndian.Uint16(b[25:])
	e.NS = intern(r.bytes())
	if flags&hasUUID != 0 {
		copy(e.UUID[:], r.take(len(e.UUID)))
	}
	e.O = r.document(flags&hasO != 0, flags&refO != 0)
	e.O2 = r.document(flags&hasO2 != 0, false)
	e.FromMigrate = flags&hasMigrate != 0
	if flags&hasTxn != 0 {
		e.Txn = r.txn()
		e.Txn.Multi = flags&isMulti != 0
	}
	e.Pre = r.document(flags&hasPre != 0, false)
	e.Post = r.document(flags&hasPost != 0, flags&refPost != 0)
	if flags&hasInner != 0 {
		e.Inner = r.images()
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errEntry
	}
	return e, nil
}

// A reader takes an entry apart. What is not there is empty, and makes it bad.
type reader struct {
	rest []byte
	doc  func(disk.Place) []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return make([]byte, max(0, min(n, 16))) // nobody takes more than that of a fixed length
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) count() int {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return int(n)
}

func (r *reader) bytes() []byte { return r.take(r.count()) }

// document reads one that is there, by its place if it is only referred to.
func (r *reader) document(has, ref bool) bson.Raw {
	switch {
	case !has:
		return nil
	case !ref:
		return r.bytes()
	}
	at := r.take(8)
	d := r.doc(disk.Place{Segment: binary.LittleEndian.Uint32(at), Offset: binary.LittleEndian.Uint32(at[4:])})
	r.bad = r.bad || d == nil
	return d
}

func (r *reader) time() bson.Timestamp {
	b := r.take(8)
	return bson.Timestamp{T: binary.LittleEndian.Uint32(b), I: binary.LittleEndian.Uint32(b[4:])}
}

func (r *reader) txn() TxnInfo {
	t := TxnInfo{LSID: r.bytes()}
	t.Number = int64(binary.LittleEndian.Uint64(r.take(8)))
	t.StmtID = int32(binary.LittleEndian.Uint32(r.take(4)))
	t.Prev = r.time()
	return t
}

func (r *reader) images() []Image {
	images := make([]Image, r.count())
	for i := range images {
		if pre := r.bytes(); len(pre) > 0 {
			images[i].Pre = pre
		}
		if post := r.bytes(); len(post) > 0 {
			images[i].Post = post
		}
	}
	return images
}

// Encode returns an entry as bytes that Decode understands, whatever it refers
// to.
func Encode(e *Entry) []byte {
	var lowest uint32
	return appendEntry(nil, e, func([]byte) (disk.Place, bool) { return disk.Place{}, false }, &lowest)[4:]
}

// Decode undoes Encode.
func Decode(b []byte) (*Entry, error) {
	return decodeEntry(b, func(b []byte) string { return string(b) }, func(disk.Place) []byte { return nil })
}
