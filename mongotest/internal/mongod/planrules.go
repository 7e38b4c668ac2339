package mongod

import (
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// allowance is which indexes operators allow a query to use.
type allowance struct {
	only    bool
	indexes []bson.RawValue // names and key patterns
}

// allows reports whether a plan may take an index.
func (a allowance) allows(ix *storage.Index) bool {
	return !a.only || slices.ContainsFunc(a.indexes, func(v bson.RawValue) bool {
		if name, ok := v.StringValueOK(); ok {
			return name == ix.Name
		}
		d, _ := v.DocumentOK()
		return value.CompareDocs(d, ix.Key) == 0
	})
}

// restrict gives w what operators said about queries like it: query settings,
// which may also reject it, or else an index filter. Both outdo a hint.
func (op *operation) restrict(coll string, w *wanted, projection bson.Raw) error {
	switch op.req.Name {
	case "find", "distinct", "aggregate":
		settings := op.node.set.wide.queries.For(op.req.DB, op.req.Body)
		if settings == nil {
			break
		}
		if reject, _ := settings.Lookup("reject").BooleanOK(); reject {
			return mongoerr.New(mongoerr.QueryRejectedBySettings, "Query rejected by admin query settings")
		}
		if indexes, ok := planning.Allowed(settings, op.req.DB, coll); ok {
			w.allowed, w.hint = allowance{only: true, indexes: indexes}, bson.RawValue{}
			return nil
		}
	}
	q := planning.Query{Filter: w.filter, Sort: w.sort, Projection: projection, Collation: w.matcher.Collation().Doc()}
	if indexes, ok := op.node.records.filters.For(op.req.DB+"."+coll, q); ok {
		w.allowed, w.hint = allowance{only: true, indexes: indexes}, bson.RawValue{}
	}
	return nil
}

// notePlan remembers a plan that had rivals.
func (op *operation) notePlan(c *storage.Collection, w wanted, projection bson.Raw, p plan) {
	if p.rivals < 2 || op.req.Name == "explain" {
		return
	}
	q := planning.Query{Filter: w.filter, Sort: w.sort, Projection: projection, Collation: w.matcher.Collation().Doc()}
	op.node.records.plans.Note(c.NS, q, p.rivals, time.Now(), func() bson.Raw { return p.describe(c, w) })
}
