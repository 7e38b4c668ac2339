package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func planningCommands() map[string]*handler {
	return map[string]*handler{
		"planCacheClear":        {runPlanCacheClear, 0},
		"planCacheSetFilter":    {runSetFilter, 0},
		"planCacheListFilters":  {runListFilters, 0},
		"planCacheClearFilters": {runClearFilters, 0},
		"setQuerySettings":      {runSetQuerySettings, 0},
		"removeQuerySettings":   {runRemoveQuerySettings, 0},
	}
}

// planTarget returns the collection of a command about plans, and whether there
// is one of that name. Views have no plans.
func (op *operation) planTarget() (ns string, exists bool, err error) {
	coll, err := op.collName()
	if err != nil {
		return "", false, err
	}
	ns = op.req.DB + "." + coll
	err = op.view(func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if c != nil && c.IsView() {
			return viewError(c)
		}
		exists = c != nil
		return nil
	})
	return ns, exists, err
}

// shapeOf reads the shape that a command names, nil if it names none. What is
// no document counts as missing.
func (op *operation) shapeOf() *planning.Query {
	a := op.args()
	v := a.lookup("query")
	filter := bson.Raw(v.Value)
	if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
		return nil
	}
	q := &planning.Query{Filter: filter}
	q.Sort, _ = a.lookup("sort").DocumentOK()
	q.Projection, _ = a.lookup("projection").DocumentOK()
	if d, ok := a.lookup("collation").DocumentOK(); ok {
		q.Collation = d
		if coll, err := collation.Parse(d); err == nil { // shapes have the full form
			q.Collation = coll.Doc()
		}
	}
	return q
}

func runPlanCacheClear(_ context.Context, op *operation) (bson.Raw, error) {
	ns, _, err := op.planTarget()
	if err != nil {
		return nil, err
	}
	op.node.records.plans.Clear(ns, op.shapeOf())
	return value.D(), nil
}

func runSetFilter(_ context.Context, op *operation) (bson.Raw, error) {
	ns, exists, err := op.planTarget()
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, mongoerr.New(mongoerr.BadValue, "no such collection: %s", ns)
	}
	f, err := op.parseIndexFilter()
	if err != nil {
		return nil, err
	}
	op.node.records.filters.Set(ns, f)
	op.node.records.plans.Clear(ns, &f.Query)
	return value.D(), nil
}

func (op *operation) parseIndexFilter() (planning.IndexFilter, error) {
	var f planning.IndexFilter
	a := op.args()
	for _, name := range []string{"query", "sort", "projection", "collation"} {
		v := a.lookup(name)
		isDoc := v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray && name != "collation" // as the server reads them
		switch {
		case v.Type == 0 && name == "query":
			return f, mongoerr.New(mongoerr.BadValue, "required field query missing")
		case v.Type != 0 && !isDoc:
			return f, mongoerr.New(mongoerr.BadValue, "optional field %s must be an object", name)
		case name == "collation" && v.Type != 0 && isEmpty(v.Value):
			return f, mongoerr.New(mongoerr.BadValue, "optional field collation cannot be an empty object")
		}
	}
	f.Query = *op.shapeOf()
	if f.Query.Collation != nil && f.Query.Collation.Lookup("locale").Type == 0 {
		return f, missingField("collation", "locale")
	}
	if f.Query.Collation != nil {
		if _, err := collation.Parse(f.Query.Collation); err != nil {
			return f, err
		}
	}
	indexes, isArray := a.lookup("indexes").ArrayOK()
	if !isArray {
		return f, mongoerr.New(mongoerr.BadValue, "required field indexes missing or not an array")
	}
	for _, ix := range value.Elements(bson.Raw(indexes)) {
		d, isDoc := ix.DocumentOK()
		s, isName := ix.StringValueOK()
		switch {
		case isDoc && isEmpty(d):
			return f, mongoerr.New(mongoerr.BadValue, "index specification cannot be empty")
		case isName && s == "":
			return f, mongoerr.New(mongoerr.BadValue, "index name cannot be empty")
		case !isDoc && !isName:
			return f, mongoerr.New(mongoerr.BadValue, "each item in indexes must be an object or string")
		}
		f.Indexes = append(f.Indexes, ix)
	}
	if len(f.Indexes) == 0 {
		return f, mongoerr.New(mongoerr.BadValue, "required field indexes must contain at least one index")
	}
	return f, nil
}

func runListFilters(_ context.Context, op *operation) (bson.Raw, error) {
	ns, _, err := op.planTarget()
	if err != nil {
		return nil, err
	}
	filters := []bson.Raw{}
	for _, f := range op.node.records.filters.List(ns) {
		pairs := []any{"query", orEmptyDoc(f.Query.Filter), "sort", orEmptyDoc(f.Query.Sort), "projection", orEmptyDoc(f.Query.Projection)}
		if !isEmpty(f.Query.Collation) {
			pairs = append(pairs, "collation", f.Query.Collation)
		}
		filters = append(filters, value.D(append(pairs, "indexes", value.ArrayOf(f.Indexes...))...))
	}
	return value.D("filters", filters), nil
}

func orEmptyDoc(d bson.Raw) bson.Raw {
	if d == nil {
		return emptyDoc()
	}
	return d
}

func runClearFilters(_ context.Context, op *operation) (bson.Raw, error) {
	ns, _, err := op.planTarget()
	if err != nil {
		return nil, err
	}
	op.node.records.filters.Clear(ns, op.shapeOf())
	op.node.records.plans.Clear(ns, op.shapeOf())
	return value.D(), nil
}

// planCacheStage describes the plans that won, for $planCacheStats.
func (op *operation) planCacheStage(tx *storage.Tx, coll string, spec bson.Raw) ([]bson.Raw, error) {
	ns := op.req.DB + "." + coll
	if all, _ := spec.Lookup("allHosts").BooleanOK(); all {
		return nil, mongoerr.New(4503200, "$planCacheStats stage supports allHosts parameter only for sharded clusters")
	}
	if tx.Collection(ns) == nil {
		return nil, mongoerr.New(50933, "failed to get plan cache stats because collection %s does not exist", ns)
	}
	var docs []bson.Raw
	for _, p := range op.node.records.plans.List(ns) {
		hash := p.Query.Hash()
		scores := make([]any, p.Rivals)
		stats := make([]bson.Raw, 0, 1)
		for i := range scores {
			scores[i] = 1.0
		}
		stats = append(stats, value.D("executionStages", p.Plan))
		docs = append(docs, value.D(
			"version", "1", "queryHash", hash, "planCacheShapeHash", hash, "planCacheKey", hash, "isActive", p.Uses > 1,
			"works", p.Uses, "timeOfCreation", p.Created, "createdFromQuery", value.D(
				"query", orEmptyDoc(p.Query.Filter), "sort", orEmptyDoc(p.Query.Sort), "projection", orEmptyDoc(p.Query.Projection)),
			"cachedPlan", p.Plan, "creationExecStats", stats, "candidatePlanScores", value.A(scores...),
			"indexFilterSet", op.hasFilter(ns, p.Query), "estimatedSizeBytes", int64(len(p.Plan)), "host", op.node.cfg.Name,
		))
	}
	slices.SortFunc(docs, value.CompareDocs)
	return docs, nil
}

func (op *operation) hasFilter(ns string, q planning.Query) bool {
	_, ok := op.node.records.filters.For(ns, q)
	return ok
}
