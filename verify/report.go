package verify

import (
	"cmp"
	"slices"
	"sync"

	"github.com/shardferry/shardferry"
)

// Kind says what differs.
type Kind string

// The kinds of difference.
const (
	Missing    Kind = "missing on the destination"
	Surplus    Kind = "only on the destination"
	Bytes      Kind = "differs"
	FieldOrder Kind = "differs in the order of fields only"
	Order      Kind = "documents of a capped collection are in another order"
	Namespace  Kind = "collection or view is on one side only"
	Options    Kind = "collection options differ"
	Indexes    Kind = "index differs"
	ShardKey   Kind = "shard key differs"
)

// Difference is one thing that is not equal on both sides.
type Difference struct {
	Kind   Kind                 `json:"kind"`
	NS     shardferry.Namespace `json:"namespace"`        // on the source, where it has it
	ID     string               `json:"id,omitempty"`     // the document's _id as extended JSON, or the index's name
	Detail string               `json:"detail,omitempty"` // both sides, shortened
}

// Report is the outcome of a comparison.
type Report struct {
	Collections int64        `json:"collections"`
	Documents   int64        `json:"documents"` // of the source
	Bytes       int64        `json:"bytes"`     // of these documents
	Rechecked   int64        `json:"rechecked"` // documents read again because they differed at first
	Changing    int64        `json:"changing"`  // documents that were written all the time: nothing can be said of them
	Total       int64        `json:"differencesTotal"`
	Differences []Difference `json:"differences"` // the first ones, as many as were asked for
}

// Equal reports whether nothing differs.
func (r Report) Equal() bool { return r.Total == 0 }

// A collector gathers a Report from many goroutines.
type collector struct {
	listed int

	mu     sync.Mutex
	report Report
}

// differ counts a difference. Documents whose _ids a collation holds for equal
// may be looked at in two ranges: what is listed already is not counted again.
func (c *collector) differ(d Difference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.report.Differences, d) {
		return
	}
	c.report.Total++
	if len(c.report.Differences) < c.listed {
		c.report.Differences = append(c.report.Differences, d)
	}
}

func (c *collector) compared(docs, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Documents += docs
	c.report.Bytes += bytes
}

func (c *collector) rechecked(docs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Rechecked += int64(docs)
}

func (c *collector) changing(docs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Changing += int64(docs)
}

// result returns the report with its differences in a fixed order.
func (c *collector) result(collections int) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Collections = int64(collections)
	r.Differences = append([]Difference{}, r.Differences...)
	slices.SortStableFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.NS.String(), b.NS.String()), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return r
}
