package storage

import (
	"fmt"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// dump renders everything an engine holds: collections with options, records in
// natural order, and the entries of every index.
func (w *world) dump() []string { return w.dumpOf(w.e.View) }

// dumpOf renders what a view of the data holds.
func (w *world) dumpOf(view func(func(*Tx) error) error) []string {
	out := []string{}
	require.NoError(w.t, view(func(tx *Tx) error {
		for _, db := range tx.Databases() {
			for _, c := range tx.Collections(db) {
				out = append(out, fmt.Sprintf("%s %s %s %d %d", c.NS, c.UUID, render(c.Options), c.Count(), c.Size()))
				c.records.Scan(func(rid int64, r rec) bool {
					out = append(out, fmt.Sprintf("  %d %s", rid, render(r.doc)))
					return true
				})
				out = append(out, indexDump(c)...)
			}
		}
		return nil
	}))
	return out
}

func indexDump(c *Collection) []string {
	var out []string
	for _, ix := range c.indexes {
		out = append(out, fmt.Sprintf("  %s %d", render(ix.Spec), ix.data.bytes))
		ix.data.entries.Scan(func(key string, rid int64) bool {
			out = append(out, fmt.Sprintf("    %x %d", key, rid))
			return true
		})
	}
	return out
}

// requireConsistent checks that counters and indexes are what the records say.
func (w *world) requireConsistent() {
	require.NoError(w.t, w.e.View(func(tx *Tx) error {
		for _, db := range tx.Databases() {
			for _, c := range tx.Collections(db) {
				size := int64(0)
				c.records.Scan(func(_ int64, r rec) bool {
					size += int64(len(r.doc))
					return true
				})
				require.Equal(w.t, size, c.Size())
				fresh := &Collection{entry: c.entry}
				fresh.indexes = nil
				fresh.records = c.records
				for _, ix := range c.indexes {
					again := *ix
					again.data = &indexData{}
					require.NoError(w.t, again.build(fresh))
					fresh.indexes = append(fresh.indexes, &again)
				}
				require.Equal(w.t, indexDump(fresh), indexDump(c))
			}
		}
		return nil
	}))
}

// The model: documents by _id, and which values of which field are unique.
type model struct {
	docs   map[int32]bson.Raw
	unique map[string]bool // fields with a unique index
}

func (m *model) collides(id int32, doc bson.Raw) bool {
	for f := range m.unique {
		for other, d := range m.docs {
			a, _ := value.Get(d, f)
			b, _ := value.Get(doc, f)
			if other != id && shares(elements(a), elements(b)) {
				return true
			}
		}
	}
	return false
}

// elements returns the index keys of a value.
func elements(v bson.RawValue) []bson.RawValue {
	if v.Type == bson.TypeArray {
		vals, _ := v.Array().Values()
		if len(vals) == 0 {
			return []bson.RawValue{value.Undefined()}
		}
		return vals
	}
	if v.Type == 0 {
		return []bson.RawValue{value.Null()}
	}
	return []bson.RawValue{v}
}

func shares(a, b []bson.RawValue) bool {
	for _, x := range a {
		for _, y := range b {
			if value.Equal(x, y) {
				return true
			}
		}
	}
	return false
}

func drawDoc(t *rapid.T, id int32) bson.Raw {
	dst := value.Append(make([]byte, 4), "_id", value.Int32(id))
	for _, f := range []string{"a", "b"} {
		n := rapid.IntRange(0, 9).Draw(t, f)
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
		case 1:
			dst = value.Append(dst, f, value.Double(float64(n)))
		case 2:
			dst = value.Append(dst, f, value.ArrayOf(value.Int32(int32(n)), value.Int32(int32(n+1))))
		case 3:
			dst = value.Append(dst, f, value.String(fmt.Sprint(n)))
		default:
			dst = value.Append(dst, f, value.Int32(int32(n)))
		}
	}
	return finishDoc(dst)
}

// A random history of writes and index changes agrees with a map of documents,
// keeps every index consistent, and can be replayed from the oplog.
func TestCollectionAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.must(func(tx *Tx) error {
			_, err := tx.Create("db.c", CollectionSpec{}, Meta{})
			return err
		})
		m := &model{docs: map[int32]bson.Raw{}, unique: map[string]bool{}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m.step(t, w)
		}
		w.requireConsistent()
		m.requireSame(t, w)
		requireReplayable(t, w)
	})
}

func (m *model) step(t *rapid.T, w *world) {
	id := int32(rapid.IntRange(1, 12).Draw(t, "id"))
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		m.toggleIndex(t, w, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "field"))
	case 1, 2:
		err := w.e.Update(func(tx *Tx) error {
			c := tx.Collection("db.c")
			if r, ok := tx.FindID(c, value.Int32(id)); ok {
				return tx.Delete(c, r.ID, Meta{})
			}
			return nil
		})
		require.NoError(t, err)
		delete(m.docs, id)
	case 3, 4, 5:
		m.replace(t, w, id, drawDoc(t, id))
	default:
		d := drawDoc(t, id)
		_, exists := m.docs[id]
		m.settle(t, w.insert(d), id, d, exists || m.collides(id, d))
	}
}

// settle compares a write's outcome with the expected one and takes it over.
func (m *model) settle(t *rapid.T, err error, id int32, d bson.Raw, dup bool) {
	switch {
	case mongoerr.Is(err, codeParallelArrays):
	case dup:
		require.True(t, mongoerr.Is(err, mongoerr.DuplicateKey), "%v", err)
	default:
		require.NoError(t, err)
		m.docs[id] = d
	}
}

func (m *model) replace(t *rapid.T, w *world, id int32, d bson.Raw) {
	if _, ok := m.docs[id]; !ok {
		return
	}
	form := UpdateForm(rapid.IntRange(0, 2).Draw(t, "form"))
	err := w.e.Update(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, _ := tx.FindID(c, value.Int32(id))
		_, err := tx.Replace(c, r.ID, d, Meta{Form: form})
		return err
	})
	m.settle(t, err, id, d, m.collides(id, d))
}

// toggleIndex drops or builds a unique index on a field, and with it a plain
// one that has the other field too.
func (m *model) toggleIndex(t *rapid.T, w *world, f string) {
	if m.unique[f] {
		w.must(func(tx *Tx) error { return tx.DropIndex(tx.Collection("db.c"), f, Meta{}) })
		delete(m.unique, f)
		return
	}
	dup := false
	m.unique[f] = true
	for id, d := range m.docs {
		dup = dup || m.collides(id, d)
	}
	err := w.index(keySpec(f, value.D(f, -1), "unique", true))
	if dup {
		require.True(t, mongoerr.Is(err, mongoerr.DuplicateKey), "%v", err)
		delete(m.unique, f)
		return
	}
	require.NoError(t, err)
	if err := w.index(keySpec("ab", value.D("a", 1, "b", -1))); err != nil {
		require.True(t, mongoerr.Is(err, codeParallelArrays), "%v", err)
	}
}

func (m *model) requireSame(t *rapid.T, w *world) {
	var want, got []string
	for _, d := range m.docs {
		want = append(want, render(d))
	}
	require.NoError(t, w.e.View(func(tx *Tx) error {
		for _, r := range tx.Scan(tx.Collection("db.c"), ScanSpec{Index: "_id_"}) {
			got = append(got, render(r.Doc))
		}
		return nil
	}))
	sort.Strings(want)
	sort.Strings(got)
	require.Equal(t, want, got)
}

// requireReplayable applies the log's entries to documents by _id.
func requireReplayable(t *rapid.T, w *world) {
	docs := map[string]bson.Raw{}
	es, err := w.log.Read(bson.Timestamp{}, false, 1<<20)
	require.NoError(t, err)
	for _, e := range es {
		applyEntry(t, docs, e.Op, e.O, e.O2)
	}
	require.NoError(t, w.e.View(func(tx *Tx) error {
		c := tx.Collection("db.c")
		assert.Len(t, docs, int(c.Count()))
		for _, r := range tx.Scan(c, ScanSpec{}) {
			require.Equal(t, render(r.Doc), render(docs[renderValue(r.Doc.Lookup("_id"))]))
		}
		return nil
	}))
}

func applyEntry(t *rapid.T, docs map[string]bson.Raw, op oplog.Op, o, o2 bson.Raw) {
	switch op {
	case oplog.Insert:
		docs[renderValue(o.Lookup("_id"))] = o
	case oplog.Delete:
		delete(docs, renderValue(o.Lookup("_id")))
	case oplog.Update:
		id := renderValue(o2.Lookup("_id"))
		if diff, ok := value.Get(o, "diff"); ok {
			next, err := update.ApplyDiff(docs[id], diff.Document())
			require.NoError(t, err)
			o = next
		}
		docs[id] = o
	case oplog.Command:
		if list, ok := value.Get(o, "applyOps"); ok {
			ops, err := list.Array().Values()
			require.NoError(t, err)
			for _, inner := range ops {
				d := inner.Document()
				o2, _ := value.Get(d, "o2")
				inner2, _ := o2.DocumentOK()
				applyEntry(t, docs, oplog.Op(d.Lookup("op").StringValue()[0]), d.Lookup("o").Document(), inner2)
			}
		}
	case oplog.Noop:
	}
}
