package planning

import (
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A CachedPlan is a plan that won against others.
type CachedPlan struct {
	Query   Query
	Plan    bson.Raw // as explain renders it
	Rivals  int      // how many plans there were
	Created time.Time
	Uses    int64
}

// Cache holds the plans that won. It is safe for concurrent use; the zero value
// is ready.
type Cache struct {
	mu   sync.Mutex
	byNS map[string]map[string]*CachedPlan
}

// maxCached bounds the shapes of one collection, as the server does.
const maxCached = 5000

// Note records that a plan won for a query. render is called if the shape is
// new.
func (c *Cache) Note(ns string, q Query, rivals int, now time.Time, render func() bson.Raw) {
	key := q.key()
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byNS[ns][key]; p != nil {
		p.Uses++
		return
	}
	if c.byNS == nil {
		c.byNS = map[string]map[string]*CachedPlan{}
	}
	if c.byNS[ns] == nil {
		c.byNS[ns] = map[string]*CachedPlan{}
	}
	if len(c.byNS[ns]) < maxCached {
		c.byNS[ns][key] = &CachedPlan{Query: q, Plan: render(), Rivals: rivals, Created: now, Uses: 1}
	}
}

// Clear forgets the plan of a shape, or all of a collection if q is nil.
func (c *Cache) Clear(ns string, q *Query) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q == nil {
		delete(c.byNS, ns)
		return
	}
	delete(c.byNS[ns], q.key())
}

// List returns the cached plans of a collection.
func (c *Cache) List(ns string) []CachedPlan {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []CachedPlan
	for _, p := range c.byNS[ns] {
		out = append(out, *p)
	}
	return out
}
