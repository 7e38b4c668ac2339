package storage

import (
	"encoding/binary"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Codes of the server's key generator that have no name.
const (
	codeHashedArray    mongoerr.Code = 16766
	codeAmbiguousField mongoerr.Code = 16746
	codeParallelArrays mongoerr.Code = 171 // CannotIndexParallelArrays
)

const (
	recordIDSuffixLength = 8
	// endOfKey ends every key but those of the _id index. It makes keys
	// prefix-free and orders strings that differ only in a NUL at the end.
	endOfKey = 0x04
)

// A keygen computes the keys of one document in one index, as the server does:
// arrays yield a key per element, all indexed fields below the same array move
// through it together, and a numeric path component addresses an element.
type keygen struct {
	ix    *Index
	keys  []string
	multi bool
	// each, if set, gets the values of every key.
	each func(key string, vals []bson.RawValue)
}

// A cursor is how far one indexed path has been followed in a document.
type cursor struct {
	v       bson.RawValue
	rest    []string
	done    bool
	missing bool
}

// keysOf returns the index's keys for doc, sorted and without the record id.
func (ix *Index) keysOf(doc bson.Raw) (keys []string, multi bool, err error) {
	if ix.isID() { // never an array; the hot path of inserts
		id, _ := value.Get(doc, idField)
		var buf [32]byte
		return []string{string(keystring.Append(buf[:0], ix.coll.Key(id), false))}, false, nil
	}
	g := keygen{ix: ix}
	if err := g.run(doc); err != nil {
		return nil, false, err
	}
	if len(g.keys) > 1 {
		slices.Sort(g.keys)
		g.keys = slices.Compact(g.keys)
	}
	return g.keys, g.multi, nil
}

// valuesOf returns the indexed values of doc behind one of its keys.
func (ix *Index) valuesOf(doc bson.Raw, key string) []bson.RawValue {
	var found []bson.RawValue
	g := keygen{ix: ix, each: func(k string, vals []bson.RawValue) {
		if k == key && found == nil {
			found = vals
		}
	}}
	if err := g.run(doc); err != nil {
		return nil
	}
	return found
}

func (g *keygen) run(doc bson.Raw) error {
	if g.ix.filter != nil {
		ok, err := g.ix.filter.Match(doc)
		if err != nil || !ok {
			return err
		}
	}
	if err := g.ix.checkSpecial(doc); err != nil {
		return err
	}
	root := value.Doc(doc)
	cs := make([]cursor, len(g.ix.fields))
	for i, f := range g.ix.fields {
		cs[i] = cursor{v: root, rest: f.path}
		if f.special != "" {
			cs[i].end(bson.RawValue{}, true)
		}
	}
	return g.expand(cs)
}

// expand follows every path to its end or to the next array, and through the
// array's elements if there is one.
func (g *keygen) expand(cs []cursor) error {
	arr := -1
	for i := range cs {
		if !cs[i].walk() {
			continue
		}
		if g.ix.Hashed() >= 0 {
			return mongoerr.New(codeHashedArray, "hashed indexes do not currently support array values")
		}
		if arr >= 0 && !sameValue(cs[arr].v, cs[i].v) {
			return mongoerr.New(codeParallelArrays, "cannot index parallel arrays [%s] [%s]",
				lastOf(g.ix.fields[i].path, cs[i].rest), lastOf(g.ix.fields[arr].path, cs[arr].rest))
		}
		if arr < 0 {
			arr = i
		}
	}
	if arr < 0 {
		g.emit(cs)
		return nil
	}
	elems, err := cs[arr].v.Array().Values()
	if err != nil {
		return mongoerr.New(mongoerr.InvalidBSON, "malformed array: %v", err)
	}
	return g.through(cs, elems)
}

// through expands the cursors that stand at an array over its elements.
func (g *keygen) through(cs []cursor, elems []bson.RawValue) error {
	spread := false
	base := slices.Clone(cs)
	atArray := make([]bool, len(cs))
	for i := range base {
		c := &base[i]
		switch k, positional := c.position(len(elems)); {
		case c.done:
		case positional:
			if err := ambiguous(elems, c.rest[0]); err != nil {
				return err
			}
			c.v, c.rest = elems[k], c.rest[1:]
		case len(elems) == 0:
			c.end(bson.RawValue{Type: bson.TypeUndefined}, len(c.rest) > 0)
			g.multi = true
		default:
			atArray[i], spread = true, true
		}
	}
	if !spread {
		return g.expand(base)
	}
	g.multi = true
	for _, e := range elems {
		next := slices.Clone(base)
		for i := range next {
			if atArray[i] {
				next[i].enter(e)
			}
		}
		if err := g.expand(next); err != nil {
			return err
		}
	}
	return nil
}

// walk follows the path through embedded documents. It reports whether it
// stopped at an array; otherwise the cursor is done.
func (c *cursor) walk() (atArray bool) {
	for !c.done {
		switch {
		case c.v.Type == bson.TypeArray:
			return true
		case len(c.rest) == 0:
			c.done = true
		case c.v.Type != bson.TypeEmbeddedDocument:
			c.end(bson.RawValue{}, true)
		default:
			v, ok := value.Get(c.v.Value, c.rest[0])
			if !ok {
				c.end(bson.RawValue{}, true)
				break
			}
			c.v, c.rest = v, c.rest[1:]
		}
	}
	return false
}

// enter moves the cursor from an array to one of its elements. An array inside
// the array is a value of its own.
func (c *cursor) enter(e bson.RawValue) {
	switch {
	case len(c.rest) == 0:
		c.end(e, false)
	case e.Type == bson.TypeEmbeddedDocument:
		c.v = e
	default:
		c.end(bson.RawValue{}, true)
	}
}

func (c *cursor) end(v bson.RawValue, missing bool) {
	c.v, c.done, c.missing, c.rest = v, true, missing, nil
	if missing {
		c.v = value.Null()
	}
}

// position returns the array index that the path's next component names.
func (c *cursor) position(length int) (int, bool) {
	if c.done || len(c.rest) == 0 {
		return 0, false
	}
	k, err := strconv.Atoi(c.rest[0])
	if err != nil || k < 0 || k >= length || strconv.Itoa(k) != c.rest[0] {
		return 0, false
	}
	return k, true
}

func ambiguous(elems []bson.RawValue, name string) error {
	for _, e := range elems {
		if e.Type != bson.TypeEmbeddedDocument {
			continue
		}
		if _, ok := value.Get(e.Value, name); ok {
			return mongoerr.New(codeAmbiguousField, "Ambiguous field name found in array (do not use numeric "+
				"field names in embedded elements in an array), field: '%s'", name)
		}
	}
	return nil
}

func (g *keygen) emit(cs []cursor) {
	if g.ix.Sparse {
		missing := true
		for i := range cs {
			missing = missing && cs[i].missing
		}
		if missing {
			return
		}
	}
	buf := make([]byte, 0, 32)
	for i, f := range g.ix.fields {
		if f.special != "" {
			continue
		}
		v := g.ix.coll.Key(cs[i].v)
		if f.hashed {
			v = value.Int64(hashkey.Hash(v))
		}
		buf = keystring.Append(buf, v, f.desc)
	}
	if !g.ix.isID() {
		buf = append(buf, endOfKey)
	}
	key := string(buf)
	g.keys = append(g.keys, key)
	if g.each != nil {
		vals := make([]bson.RawValue, len(cs))
		for i := range cs {
			vals[i] = cs[i].v
		}
		g.each(key, vals)
	}
}

// entryKey returns the tree key of an index entry.
func (ix *Index) entryKey(key string, rid int64) string {
	if ix.isID() {
		return key
	}
	var id [recordIDSuffixLength]byte
	binary.BigEndian.PutUint64(id[:], uint64(rid))
	return key + string(id[:])
}

func sameValue(a, b bson.RawValue) bool {
	return len(a.Value) > 0 && len(b.Value) > 0 && &a.Value[0] == &b.Value[0]
}

// lastOf names the array at which a path stopped.
func lastOf(path, rest []string) string { return path[len(path)-len(rest)-1] }
