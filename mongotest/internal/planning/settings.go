package planning

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Setting is one entry of query settings.
type Setting struct {
	Hash     string
	Query    bson.Raw // the command it was given for, nil if only its hash is known
	Settings bson.Raw
}

// Settings are the query settings of a replica set. It is safe for concurrent
// use; the zero value is ready.
type Settings struct {
	some atomic.Bool

	mu  sync.Mutex
	all []Setting
}

// CommandShape is the shape of a find, distinct or aggregate command, which has
// a $db, as query settings show it.
func CommandShape(command bson.Raw) bson.Raw {
	name, coll, _ := first(command)
	pairs := []any{"cmdNs", value.D("db", command.Lookup("$db"), "coll", coll), "command", name}
	for field, v := range value.Elements(command) {
		switch field {
		case "filter", "query":
			pairs = append(pairs, field, typedFilter(v.Value))
		case "sort", "projection", "collation", "hint", "key", "min", "max":
			pairs = append(pairs, field, v)
		case "let":
			pairs = append(pairs, field, typedTree(v))
		case "limit", "skip":
			pairs = append(pairs, field, typedConstant(v))
		case "pipeline":
			pairs = append(pairs, field, typedTree(v))
		}
	}
	if name == "find" && command.Lookup("filter").Type == 0 {
		pairs = append(pairs, "filter", value.D())
	}
	return value.D(pairs...)
}

func first(doc bson.Raw) (string, bson.RawValue, bool) {
	for name, v := range value.Elements(doc) {
		return name, v, true
	}
	return "", bson.RawValue{}, false
}

// ShapeHash names the shape of a command.
func ShapeHash(command bson.Raw) string {
	sum := sha256.Sum256(CommandShape(command))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Get returns the entry with a hash.
func (s *Settings) Get(hash string) (Setting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(hash)
	if i < 0 {
		return Setting{}, false
	}
	return s.all[i], true
}

// Put adds an entry, in place of one with the same hash. A Query it lacks is
// kept from that.
func (s *Settings) Put(n Setting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.some.Store(true)
	i := s.index(n.Hash)
	if i < 0 {
		s.all = append(s.all, n)
		return
	}
	if n.Query == nil {
		n.Query = s.all[i].Query
	}
	s.all[i] = n
}

// Remove drops the entry with a hash, if there is one.
func (s *Settings) Remove(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(hash); i >= 0 {
		s.all = slices.Delete(s.all, i, i+1)
	}
	s.some.Store(len(s.all) > 0)
}

// List returns all entries.
func (s *Settings) List() []Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// For returns the settings of a command, nil if there are none. Most servers
// have none at all, so that costs nothing.
func (s *Settings) For(db string, command bson.Raw) bson.Raw {
	if !s.some.Load() {
		return nil
	}
	if command.Lookup("$db").Type == 0 {
		command = Merge(command, value.D("$db", db))
	}
	e, _ := s.Get(ShapeHash(command))
	return e.Settings
}

func (s *Settings) index(hash string) int {
	return slices.IndexFunc(s.all, func(e Setting) bool { return strings.EqualFold(e.Hash, hash) })
}

// Merge returns the settings old with those of update in place of their own.
func Merge(old, update bson.Raw) bson.Raw {
	var pairs []any
	for name, v := range value.Elements(old) {
		if n := update.Lookup(name); n.Type != 0 {
			v = n
		}
		pairs = append(pairs, name, v)
	}
	for name, v := range value.Elements(update) {
		if old.Lookup(name).Type == 0 {
			pairs = append(pairs, name, v)
		}
	}
	return value.D(pairs...)
}

// Allowed returns the indexes that settings allow for a collection; not ok if
// any.
func Allowed(settings bson.Raw, db, coll string) (indexes []bson.RawValue, ok bool) {
	hints := settings.Lookup("indexHints")
	if hints.Type == bson.TypeEmbeddedDocument {
		hints = value.ArrayOf(hints)
	}
	for _, h := range value.Elements(hints.Value) {
		ns := h.Document().Lookup("ns").Document()
		if !bytes.Equal(ns.Lookup("db").Value, value.String(db).Value) || !bytes.Equal(ns.Lookup("coll").Value, value.String(coll).Value) {
			continue
		}
		for _, ix := range value.Elements(h.Document().Lookup("allowedIndexes").Value) {
			indexes = append(indexes, ix)
		}
		return indexes, true
	}
	return nil, false
}
