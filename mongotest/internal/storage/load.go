package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Open fills an empty engine and its oplog with what log has, and keeps them
// there from its Resume on. It changes nothing on the disk.
func (e *Engine) Open(log *disk.Log) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log.Attach(log)
	l := newLoader(log, e.log, e.clock)
	err := log.Replay(func(at disk.Place, frame []byte) error {
		if err := l.frame(at, frame); err != nil {
			return &disk.DamageError{Path: log.Path(at), Offset: int64(at.Offset), Reason: err.Error()}
		}
		return nil
	})
	if err != nil {
		return err
	}
	cat := newCatalog()
	for _, ident := range slices.Sorted(maps.Keys(l.all)) {
		part := l.all[ident]
		if part.entry == nil {
			continue // dropped
		}
		c, err := part.collection(ident)
		if err != nil {
			return fmt.Errorf("collection %d in %s: %w", ident, log.Path(disk.Place{}), err)
		}
		cat.add(c)
	}
	// Times may have been given out that no frame knows of, but no later ones.
	if now := e.clock.Now(); !now.IsZero() {
		e.clock.Advance(bson.Timestamp{T: now.T + 1})
	}
	e.cat = cat
	e.past.dropped = e.log.Last() // the past of before is gone
	e.journal.Store(l.j)
	return nil
}

// A loader reads the frames of a log.
type loader struct {
	j     *journal
	log   *oplog.Log
	clock *oplog.Clock
	all   map[uint64]*loading
}

func newLoader(d *disk.Log, log *oplog.Log, clock *oplog.Clock) *loader {
	j := &journal{log: d, states: map[string]bson.Raw{}, catalogAt: map[uint64]uint32{}, statesAt: map[string]uint32{}}
	return &loader{j: j, log: log, clock: clock, all: map[uint64]*loading{}}
}

// loading is a collection as far as it has been read.
type loading struct {
	entry   bson.Raw // of the catalog; nil: none, or dropped
	records btree.Map[int64, rec]
	lastID  int64
}

var errChange = errors.New("a change is malformed")

func (l *loader) frame(at disk.Place, frame []byte) error {
	return l.log.Restore(at, frame, func(ops []byte) error {
		r := opReader{rest: ops}
		for len(r.rest) > 0 {
			if err := l.change(at, &r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *loader) change(at disk.Place, r *opReader) error {
	switch kind := r.byte(); kind {
	case changePut, changeDelete:
		c, rid := l.collection(r.number()), int64(r.number())
		c.lastID = max(c.lastID, rid)
		if kind == changeDelete {
			c.records.Delete(rid)
			break
		}
		return l.put(c, rid, disk.Place{Segment: uint32(r.number()), Offset: uint32(r.number())}, r)
	case changeCatalog:
		ident := r.number()
		l.collection(ident).entry = r.text()
		l.j.catalogAt[ident] = at.Segment
	case changeDrop:
		ident := r.number()
		*l.collection(ident) = loading{}
		delete(l.j.catalogAt, ident)
	case changeState:
		key := string(r.text())
		l.j.states[key], l.j.statesAt[key] = slices.Clone(r.text()), at.Segment
	case changeNoState:
		key := string(r.text())
		delete(l.j.states, key)
		delete(l.j.statesAt, key)
	case changeRollback:
		l.log.Rollback(r.time())
	case changeForgot:
		l.log.Forget(r.time())
	case changeClock:
		l.clock.Advance(r.time())
	default:
		return errChange
	}
	if r.bad {
		return errChange
	}
	return nil
}

func (l *loader) put(c *loading, rid int64, at disk.Place, r *opReader) error {
	if r.bad {
		return errChange
	}
	doc := l.j.log.Doc(at)
	switch {
	case doc != nil:
		c.records.Set(rid, rec{doc: doc})
	case l.j.log.Gone(at):
		c.records.Delete(rid) // it is dead, or is put again later on
	default:
		return errChange
	}
	return nil
}

func (l *loader) collection(ident uint64) *loading {
	c := l.all[ident]
	if c == nil {
		c = &loading{}
		l.all[ident] = c
	}
	l.j.lastIdent = max(l.j.lastIdent, ident)
	return c
}

// collection makes the collection that has been read.
func (p *loading) collection(ident uint64) (*Collection, error) {
	ns, _ := p.entry.Lookup("ns").StringValueOK()
	raw, _ := p.entry.Lookup("options").DocumentOK()
	opts, shown, err := parseOptions(ns, slices.Clone(raw), false)
	if err != nil || ns == "" {
		return nil, fmt.Errorf("catalog entry %s: %w", render(p.entry), errors.Join(errChange, err))
	}
	c := &Collection{nextID: new(atomic.Int64), ident: ident, records: p.records}
	c.entry = entry{NS: ns, Options: shown, opts: opts.onBuckets(ns)}
	if key, ok := p.entry.Lookup("shardKey").DocumentOK(); ok {
		c.ShardKey = slices.Clone(key)
	}
	if c.IsView() {
		return c, nil
	}
	c.UUID, _ = value.ParseUUID(p.entry.Lookup("uuid"))
	last, _ := p.entry.Lookup("lastID").AsInt64OK()
	c.nextID.Store(max(last, p.lastID))
	c.records.Scan(func(_ int64, r rec) bool {
		c.bytes += int64(len(r.doc))
		return true
	})
	specs, _ := p.entry.Lookup("indexes").ArrayOK()
	for i, spec := range value.Elements(bson.Raw(specs)) {
		ix := idIndex(opts.clusteredIndex, opts.coll)
		if len(c.indexes) > 0 {
			if ix, err = parseIndex(slices.Clone(spec.Document()), nil); err != nil {
				return nil, err
			}
		}
		if err := ix.refill(c); err != nil {
			return nil, err
		}
		multikey, _ := p.entry.Lookup("multikey", i).BooleanOK()
		ix.data.multikey = ix.data.multikey || multikey
		c.indexes = append(c.indexes, ix)
	}
	return c, nil
}

// refill makes an index's entries, which need no check any more.
func (ix *Index) refill(c *Collection) error {
	var err error
	c.records.Scan(func(rid int64, r rec) bool {
		var keys []string
		var multi bool
		if keys, multi, err = ix.keysOf(r.doc); err != nil {
			return false
		}
		for _, key := range keys {
			ix.data.add(ix.entryKey(key, rid), rid)
		}
		ix.data.multikey = ix.data.multikey || multi
		return true
	})
	return err
}

// An opReader takes the changes of a frame apart. What is not there is empty,
// and makes it bad.
type opReader struct {
	rest []byte
	bad  bool
}

func (r *opReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *opReader) number() uint64 {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

func (r *opReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *opReader) text() []byte { return r.take(r.number()) }

func (r *opReader) time() bson.Timestamp {
	return bson.Timestamp{T: uint32(r.number()), I: uint32(r.number())}
}
