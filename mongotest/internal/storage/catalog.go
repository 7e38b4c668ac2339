package storage

import (
	"strings"

	"github.com/tidwall/btree"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A catalog finds collections and views by name and by UUID. A database exists
// as long as something is in it.
type catalog struct {
	byNS   btree.Map[string, *Collection]
	byUUID map[value.UUID]*Collection
}

func newCatalog() *catalog {
	return &catalog{byUUID: make(map[value.UUID]*Collection)}
}

func (k *catalog) get(ns string) *Collection {
	c, _ := k.byNS.Get(ns)
	return c
}

func (k *catalog) add(c *Collection) {
	k.byNS.Set(c.NS, c)
	if !c.UUID.IsZero() {
		k.byUUID[c.UUID] = c
	}
}

func (k *catalog) remove(c *Collection) {
	k.byNS.Delete(c.NS)
	delete(k.byUUID, c.UUID)
}

func (k *catalog) collections(db string) []*Collection {
	prefix := db + "."
	var out []*Collection
	k.byNS.Ascend(prefix, func(ns string, c *Collection) bool {
		if !strings.HasPrefix(ns, prefix) {
			return false
		}
		out = append(out, c)
		return true
	})
	return out
}

func (k *catalog) databases() []string {
	var out []string
	for from := ""; ; {
		db := ""
		k.byNS.Ascend(from, func(ns string, _ *Collection) bool {
			db, _ = oplog.SplitNS(ns)
			return false
		})
		if db == "" {
			return out
		}
		out = append(out, db)
		from = db + "/" // the byte after '.'
	}
}

// snapshot returns a catalog of the same content that can be changed without
// the original noticing, and the other way round. The caller excludes readers.
func (k *catalog) snapshot() *catalog {
	s := newCatalog()
	k.byNS.Scan(func(_ string, c *Collection) bool {
		s.add(c.snapshot())
		return true
	})
	return s
}
