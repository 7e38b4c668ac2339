package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const tinySegment = 8 << 10

// onDisk returns a world whose data is that of a directory.
func onDisk(t require.TestingT, dir string, o oplog.Options) (*world, *disk.Log) {
	d, err := disk.Open(disk.Config{Dir: dir, SegmentSize: tinySegment})
	require.NoError(t, err)
	clock := oplog.NewClock()
	w := &world{t: t, log: oplog.NewLog(clock, o)}
	w.e = NewEngine(w.log, clock)
	require.NoError(t, w.e.Open(d))
	require.NoError(t, d.Resume())
	return w, d
}

// state renders everything that must survive.
func (w *world) state() string {
	out := w.dump()
	es, err := w.log.Read(w.log.Dropped(), false, 1<<20)
	require.NoError(w.t, err)
	out = append(out, fmt.Sprint(w.log.Dropped()))
	for _, e := range es {
		out = append(out, fmt.Sprint(e.TS, e.BSON()))
	}
	var kept []string
	w.e.States(func(key string, doc bson.Raw) { kept = append(kept, key+" "+doc.String()) })
	sort.Strings(kept)
	return strings.Join(append(out, kept...), "\n")
}

// A journaled is an engine on the disk in the hands of a random history.
type journaled struct {
	*world
	t       *rapid.T
	disk    *disk.Log
	before  *Transaction // of a member that does not keep up
	ends    []disk.Place // where the log ended after each step
	states  []string     // what there was then
	durable int          // the last step that was synced
}

func (j *journaled) note() {
	segments := j.disk.Segments()
	last := segments[len(segments)-1]
	j.ends = append(j.ends, disk.Place{Segment: last.Number, Offset: uint32(last.Bytes)})
	j.states = append(j.states, j.state())
}

func (j *journaled) ns(label string) string {
	return rapid.SampledFrom([]string{"db.a", "db.b", "other.c", "local.d"}).Draw(j.t, label)
}

// step changes something, or fails to, which must leave no trace either.
func (j *journaled) step(ctx context.Context) {
	t := j.t
	change := func(fn func(*Tx, *Collection) error) {
		ns := j.ns("ns")
		_ = j.e.Update(func(tx *Tx) error { // what cannot be done is undone
			c := tx.Collection(ns)
			if c == nil {
				var err error
				if c, err = tx.Create(ns, CollectionSpec{}, Meta{}); err != nil {
					return err
				}
			}
			return fn(tx, c)
		})
	}
	switch rapid.IntRange(0, 21).Draw(t, "step") {
	case 0:
		require.NoError(t, j.disk.Sync())
		j.durable = len(j.states) - 1
	case 1:
		change(func(tx *Tx, c *Collection) error { return tx.Drop(c, Meta{}) })
	case 2:
		to := j.ns("to")
		change(func(tx *Tx, c *Collection) error { return tx.Rename(c.NS, to, true, Meta{}) })
	case 3:
		f := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "field")
		unique := rapid.Bool().Draw(t, "unique")
		change(func(tx *Tx, c *Collection) error {
			_, err := tx.CreateIndexes(c, []bson.Raw{value.D("key", value.D(f, 1), "name", f, "unique", unique)}, Meta{})
			return err
		})
	case 4:
		change(func(tx *Tx, c *Collection) error { return tx.DropIndex(c, "a", Meta{}) })
	case 5:
		change(func(tx *Tx, c *Collection) error {
			_, err := tx.CollMod(c, value.D("changeStreamPreAndPostImages", value.D("enabled", true)), Meta{})
			return err
		})
	case 6:
		change(func(tx *Tx, c *Collection) error {
			if v := tx.Collection(c.DB() + ".view"); v != nil {
				return tx.Drop(v, Meta{})
			}
			_, err := tx.Create(c.DB()+".view", CollectionSpec{Options: value.D("viewOn", c.Name(), "pipeline", value.A())}, Meta{})
			return err
		})
	case 7:
		change(func(tx *Tx, c *Collection) error {
			tx.SetState(c.NS, value.D("n", len(j.states)))
			return nil
		})
	case 8:
		change(func(tx *Tx, c *Collection) error {
			tx.SetState(c.NS, nil)
			return tx.SetShardKey(c, value.D("a", 1))
		})
	case 9:
		j.log.Noop(value.D("msg", "noop"))
	case 10:
		done, err := j.e.Reclaim(ctx)
		require.NoError(t, err)
		if done { // it has synced
			j.durable = len(j.states)
		}
	case 11, 12:
		j.transaction()
	case 13:
		j.fallBack()
	default:
		j.writes(change)
	}
	j.note()
}

// writes inserts, replaces and deletes in one go, and sometimes gives up.
func (j *journaled) writes(change func(func(*Tx, *Collection) error)) {
	t := j.t
	giveUp := rapid.IntRange(0, 9).Draw(t, "give up") == 0
	var docs []bson.Raw
	for range rapid.IntRange(1, 6).Draw(t, "writes") {
		docs = append(docs, drawPadded(t))
	}
	change(func(tx *Tx, c *Collection) error {
		for _, d := range docs {
			if err := put(tx, c, d); err != nil {
				return err
			}
		}
		if giveUp {
			return assert.AnError
		}
		return nil
	})
}

func drawPadded(t *rapid.T) bson.Raw {
	d := drawDoc(t, rapid.Int32Range(0, 9).Draw(t, "id"))
	return with(d, "pad", value.String(strings.Repeat("x", rapid.IntRange(0, 1500).Draw(t, "pad"))))
}

// put inserts or replaces d, or deletes it if the pad is short.
func put(tx *Tx, c *Collection, d bson.Raw) error {
	id, _ := value.Get(d, "_id")
	r, ok := tx.FindID(c, id)
	m := Meta{Txn: oplog.TxnInfo{LSID: value.D("id", id), Number: 7}}
	var err error
	switch pad, _ := value.Get(d, "pad"); {
	case !ok:
		_, err = tx.Insert(c, d, m)
	case len(pad.Value) < 200:
		err = tx.Delete(c, r.ID, m)
	default:
		_, err = tx.Replace(c, r.ID, d, m)
	}
	return err
}

// transaction commits or aborts one of a collection made by it or before.
func (j *journaled) transaction() {
	t := j.t
	txn := j.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: value.D("id", 1), Number: 1}})
	ns := j.ns("ns")
	for range rapid.IntRange(0, 4).Draw(t, "statements") {
		d := drawPadded(t)
		err := txn.Do(func(tx *Tx) error {
			c := tx.Collection(ns)
			if c == nil {
				var err error
				if c, err = tx.Create(ns, CollectionSpec{}, Meta{}); err != nil {
					return err
				}
			}
			return put(tx, c, d)
		})
		if err != nil {
			txn.Abort()
			return
		}
	}
	if rapid.Bool().Draw(t, "commit") {
		_, err := txn.Commit()
		require.NoError(t, err)
	}
	txn.Abort()
}

// fallBack goes on with what another branch has, which began at some earlier time
// and has had changes of its own, as when another primary is elected. Or it
// begins to remember such a time.
func (j *journaled) fallBack() {
	if j.before == nil {
		j.before = j.e.Begin(Meta{})
		return
	}
	at := j.before.ReadTime()
	before, old := j.before, j.world
	j.before = nil
	if !at.After(j.log.Dropped()) {
		return
	}
	log := j.log.Branch(at)
	j.world = &world{t: j.t, log: log, e: before.Branch(log)}
	if rapid.Bool().Draw(j.t, "own changes") {
		_ = j.e.Update(func(tx *Tx) error {
			c, err := tx.Create("db.branch", CollectionSpec{}, Meta{})
			if err != nil {
				c = tx.Collection("db.branch")
			}
			return put(tx, c, drawPadded(j.t))
		})
	}
	require.NoError(j.t, j.e.Succeed(old.e))
	old.must(func(tx *Tx) error { // nobody asks any more
		_, err := tx.Create("lost."+value.NewUUID().String(), CollectionSpec{}, Meta{})
		return err
	})
	require.Equal(j.t, old.log.Last(), newestOf(j.t, old.log))
}

// newestOf reads the newest entry.
func newestOf(t require.TestingT, l *oplog.Log) bson.Timestamp {
	e, ok := l.At(l.Last())
	require.True(t, ok)
	return e.TS
}

// position orders places.
func position(p disk.Place) uint64 { return uint64(p.Segment)<<32 | uint64(p.Offset) }

// A power cut at any byte leaves the state after some step, whole: none that
// was synced is missing, none that was written before the cut, and killing the
// process alone loses nothing.
func TestCrashAnywhere(t *testing.T) {
	dirs := t
	rapid.Check(t, func(t *rapid.T) {
		dir := dirs.TempDir()
		o := oplog.Options{MaxEntries: rapid.SampledFrom([]int{0, 5, 40}).Draw(t, "oplog entries")}
		w, d := onDisk(t, dir, o)
		var j *journaled
		for range rapid.IntRange(1, 3).Draw(t, "kills") {
			j = &journaled{world: w, t: t, disk: d}
			j.note()
			for range rapid.IntRange(1, 30).Draw(t, "steps") {
				j.step(dirs.Context())
			}
			j.requireConsistent()
			d.Close()

			w, d = onDisk(t, dir, o)
			require.Equal(t, j.states[len(j.states)-1], w.state(), "after a kill")
			w.requireConsistent()
		}
		d.Close()

		cut := cutOff(t, dir, j.ends[j.durable])
		w, d = onDisk(t, dir, o)
		defer d.Close()
		state := w.state()
		step := len(j.states) - 1
		for step >= 0 && j.states[step] != state {
			step--
		}
		require.GreaterOrEqual(t, step, j.durable, "the state is that of no step since the last sync:\n%s", state)
		if step+1 < len(j.ends) {
			require.Greater(t, position(j.ends[step+1]), cut, "step %d was whole", step+1)
		}
		w.requireConsistent()
		require.NoError(t, w.e.Update(func(tx *Tx) error { // and it goes on
			c := tx.Collection("db.new")
			if c == nil {
				var err error
				if c, err = tx.Create("db.new", CollectionSpec{}, Meta{}); err != nil {
					return err
				}
			}
			_, err := tx.Insert(c, value.D("_id", "new"), Meta{})
			return err
		}))
		state = w.state()
		d.Close()
		w, d = onDisk(t, dir, o)
		require.Equal(t, state, w.state())
		d.Close()
	})
}

// cutOff spoils the log from a random byte behind an end, and returns where. As
// after a power cut, some of what is behind may have been written.
func cutOff(t *rapid.T, dir string, from disk.Place) uint64 {
	files, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	require.NoError(t, err)
	slices.Sort(files)
	const header = 48
	first := slices.IndexFunc(files, func(f string) bool { return strings.HasSuffix(f, fmt.Sprintf("%08d.segment", from.Segment)) })
	require.GreaterOrEqual(t, first, 0)
	i := rapid.IntRange(first, len(files)-1).Draw(t, "cut file")
	b, err := os.ReadFile(files[i])
	require.NoError(t, err)
	low := header
	if i == first {
		low += int(from.Offset)
	}
	at := rapid.IntRange(low, len(b)).Draw(t, "cut")
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "noise"), 1))
	kind := rapid.IntRange(0, 2).Draw(t, "kind")
	for k := at; k < len(b); k++ {
		switch {
		case kind == 0:
			b[k] = 0
		case kind == 1:
			b[k] = byte(r.Uint32())
		case (k/512)%2 == 0: // some sectors only
			b[k] = 0
		}
	}
	require.NoError(t, os.WriteFile(files[i], b, 0o600))
	return position(disk.Place{Segment: from.Segment + uint32(i-first), Offset: uint32(at - header)})
}
