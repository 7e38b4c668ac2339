package planning

import (
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An IndexFilter says which indexes the queries of a shape may use.
type IndexFilter struct {
	Query   Query
	Indexes []bson.RawValue // names and key patterns
}

// IndexFilters are those of every collection. It is safe for concurrent use;
// the zero value is ready.
type IndexFilters struct {
	some atomic.Bool // whether there are any: plans are made without a lock if not

	mu   sync.Mutex
	byNS map[string][]IndexFilter
}

// Set adds a filter, in place of one of the same shape.
func (f *IndexFilters) Set(ns string, filter IndexFilter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byNS == nil {
		f.byNS = map[string][]IndexFilter{}
	}
	f.byNS[ns] = append(without(f.byNS[ns], filter.Query), filter)
	f.some.Store(true)
}

// Clear removes the filter of a shape, or all of a collection if q is nil.
func (f *IndexFilters) Clear(ns string, q *Query) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q == nil {
		delete(f.byNS, ns)
	} else {
		f.byNS[ns] = without(f.byNS[ns], *q)
	}
	if len(f.byNS[ns]) == 0 {
		delete(f.byNS, ns)
	}
	f.some.Store(len(f.byNS) > 0)
}

// List returns the filters of a collection, in the order they were set.
func (f *IndexFilters) List(ns string) []IndexFilter {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]IndexFilter(nil), f.byNS[ns]...)
}

// For returns the indexes that a query may use; not ok if any.
func (f *IndexFilters) For(ns string, q Query) (indexes []bson.RawValue, ok bool) {
	if !f.some.Load() {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := ""
	for _, filter := range f.byNS[ns] {
		if key == "" {
			key = q.key()
		}
		if filter.Query.key() == key {
			return filter.Indexes, true
		}
	}
	return nil, false
}

func without(filters []IndexFilter, q Query) []IndexFilter {
	var out []IndexFilter
	for _, f := range filters {
		if f.Query.key() != q.key() {
			out = append(out, f)
		}
	}
	return out
}
