package storage

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A world is an engine with its log and the calls tests make on it.
type world struct {
	t   require.TestingT
	e   *Engine
	log *oplog.Log
}

func newWorld(t require.TestingT) *world {
	clock := oplog.NewClock()
	log := oplog.NewLog(clock, oplog.Options{})
	return &world{t: t, e: NewEngine(log, clock), log: log}
}

// withCollection returns a world with an empty collection db.c.
func withCollection(t *testing.T, options ...any) *world {
	w := newWorld(t)
	w.must(func(tx *Tx) error {
		_, err := tx.Create("db.c", CollectionSpec{Options: value.D(options...)}, Meta{})
		return err
	})
	return w
}

func (w *world) must(fn func(*Tx) error) { require.NoError(w.t, w.e.Update(fn)) }

// insert adds documents to db.c.
func (w *world) insert(docs ...bson.Raw) error {
	return w.e.Update(func(tx *Tx) error {
		for _, d := range docs {
			if _, err := tx.Insert(tx.Collection("db.c"), d, Meta{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// index creates indexes on db.c.
func (w *world) index(specs ...bson.Raw) error {
	return w.e.Update(func(tx *Tx) error {
		_, err := tx.CreateIndexes(tx.Collection("db.c"), specs, Meta{})
		return err
	})
}

// collMod changes db.c.
func (w *world) collMod(mod ...any) (reply bson.D, err error) {
	err = w.e.Update(func(tx *Tx) error {
		reply, err = tx.CollMod(tx.Collection("db.c"), value.D(mod...), Meta{})
		return err
	})
	return reply, err
}

// ids returns the _ids of db.c in the order of a scan.
func (w *world) ids(s ScanSpec) []string {
	out := []string{}
	require.NoError(w.t, w.e.View(func(tx *Tx) error {
		for _, r := range tx.Scan(tx.Collection("db.c"), s) {
			out = append(out, renderValue(r.Doc.Lookup("_id")))
		}
		return nil
	}))
	return out
}

// entries returns the log rendered for comparison: "op ns o o2".
func (w *world) entries() []string {
	es, err := w.log.Read(bson.Timestamp{}, false, 1<<20)
	require.NoError(w.t, err)
	out := []string{}
	for _, e := range es {
		line := string(rune(e.Op)) + " " + e.NS + " " + render(e.O)
		if e.O2 != nil {
			line += " " + render(e.O2)
		}
		if e.FromMigrate {
			line += " fromMigrate"
		}
		out = append(out, line)
	}
	return out
}

// doc returns {_id: id, ...}.
func doc(id any, pairs ...any) bson.Raw {
	return value.D(append([]any{"_id", id}, pairs...)...)
}

// keySpec returns an element of createIndexes.
func keySpec(name string, key bson.Raw, options ...any) bson.Raw {
	return value.D(append([]any{"key", key, "name", name}, options...)...)
}
