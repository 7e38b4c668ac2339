package mongod

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// explainQuery renders the sections queryPlanner and executionStats.
func (e *explained) explainQuery(ctx context.Context, tx *storage.Tx) ([]any, error) {
	op := e.op
	ns := op.req.DB + "." + e.coll
	c := tx.Collection(ns)
	q := planning.Query{Filter: e.wanted.filter, Sort: e.wanted.sort, Projection: e.projection, Collation: e.by.Doc(), Stages: plannedStages(e.stages)}
	if err := op.restrict(e.coll, &e.wanted, e.projection); err != nil && !mongoerr.Is(err, mongoerr.QueryRejectedBySettings) {
		return nil, err
	}
	var p plan
	var docs []bson.Raw
	var err error
	if c != nil && e.executes() {
		docs, p, err = e.results(ctx, tx)
	} else if c != nil {
		w := e.wanted
		if err = bindText(c, &w); err == nil {
			p, err = makePlan(c, w)
		}
	}
	if err != nil {
		return nil, err
	}
	planned := value.D("stage", "EOF")
	if c != nil {
		planned = e.render(c, p, false)
	}
	hash := q.Hash()
	head := []any{"namespace", ns, "parsedQuery", parsedQuery(e.wanted.filter)}
	if e.by != nil {
		head = append(head, "collation", e.by.Doc())
	}
	pairs := []any{"queryPlanner", value.D(append(head,
		"indexFilterSet", op.hasFilter(ns, planning.Query{Filter: q.Filter, Sort: q.Sort, Projection: q.Projection, Collation: q.Collation}),
		"queryHash", hash, "planCacheShapeHash", hash, "planCacheKey", planCacheKey(c, hash), "optimizationTimeMillis", int32(0),
		"maxIndexedOrSolutionsReached", false, "maxIndexedAndSolutionsReached", false, "maxScansToExplodeReached", false,
		"prunedSimilarIndexes", false, "winningPlan", withFirst("isCached", value.Bool(false), planned), "rejectedPlans", value.A(),
	)...)}
	if !e.executes() {
		return pairs, nil
	}
	stages := value.D("stage", "EOF", "nReturned", int32(0))
	if c != nil {
		stages = e.render(c, p, true)
	}
	stats := []any{
		"executionSuccess", true, "nReturned", e.returned(len(docs)), "executionTimeMillis", int32(0),
		"totalKeysExamined", int32(p.keysExamined()), "totalDocsExamined", int32(p.examined), "executionStages", stages,
	}
	if e.verbosity == "allPlansExecution" {
		stats = append(stats, "allPlansExecution", value.A())
	}
	return append(pairs, "executionStats", value.D(stats...)), nil
}

// returned is how many documents the command would return: writes return none.
func (e *explained) returned(n int) int32 {
	switch e.op.req.Name {
	case "update", "delete", "count":
		return 0
	default:
		return int32(n)
	}
}

// withFirst returns doc with a field in front.
func withFirst(name string, v bson.RawValue, doc bson.Raw) bson.Raw {
	out := value.D(name, v)
	for k, x := range value.Elements(doc) {
		out = appendFields(out, k, x)
	}
	return out
}

// planCacheKey names a shape together with the indexes there are.
func planCacheKey(c *storage.Collection, hash string) string {
	if c == nil {
		return hash
	}
	names := make([]string, 0, 4)
	for _, ix := range c.Indexes() {
		names = append(names, ix.Name)
	}
	return planning.Query{Stages: hash + strings.Join(names, "\x00")}.Hash()
}

// plannedStages are the stages of a pipeline that plans depend on.
func plannedStages(stages []bson.Raw) string {
	var b strings.Builder
	for _, s := range stages {
		switch firstStage([]bson.Raw{s}) {
		case "$group", "$lookup", "$bucket", "$replaceRoot", "$replaceWith", "$project", "$sort", "$count", "$sortByCount", "$densify", "$setWindowFields":
			b.WriteString(rawdoc.RenderDoc(s))
		}
	}
	return b.String()
}

// parsedQuery renders a filter as the server does: every condition with its
// operator, several joined by $and.
func parsedQuery(filter bson.Raw) bson.Raw {
	var conds []bson.Raw
	for name, v := range value.Elements(filter) {
		d, isDoc := v.DocumentOK()
		switch {
		case strings.HasPrefix(name, "$"), v.Type == bson.TypeRegex:
			conds = append(conds, value.D(name, v))
		case !isDoc || !strings.HasPrefix(firstStage([]bson.Raw{d}), "$"):
			conds = append(conds, value.D(name, value.D("$eq", v)))
		default:
			for op, arg := range value.Elements(d) {
				conds = append(conds, value.D(name, value.D(op, arg)))
			}
		}
	}
	switch len(conds) {
	case 0:
		return emptyDoc()
	case 1:
		return conds[0]
	default:
		return value.D("$and", conds)
	}
}

// keysExamined is how many keys of an index were looked at.
func (p plan) keysExamined() int64 {
	if p.index == "" {
		return 0
	}
	return p.examined
}

// render renders the plan of the whole command as a tree of stages.
func (e *explained) render(c *storage.Collection, p plan, stats bool) bson.Raw {
	tree := p.tree(c, e.wanted, stats)
	wrap := func(stage string, extra ...any) {
		pairs := append([]any{"stage", stage}, extra...)
		if stats {
			pairs = append(pairs, "nReturned", int32(p.matched), "executionTimeMillisEstimate", int32(0))
		}
		tree = value.D(append(pairs, "inputStage", tree)...)
	}
	if near := e.wanted.matcher.Near(); near != nil {
		wrap("GEO_NEAR_2DSPHERE")
	}
	if !p.sorted {
		wrap("SORT", "sortPattern", e.wanted.sort, "memLimit", int64(100<<20), "type", "simple")
	}
	if e.skip > 0 {
		wrap("SKIP", "skipAmount", e.skip)
	}
	name := e.op.req.Name
	if e.limit > 0 && (name == "find" || name == "count" || name == "aggregate") {
		wrap("LIMIT", "limitAmount", e.limit)
	}
	if !isEmpty(e.projection) {
		wrap("PROJECTION_"+projectionKind(e.projection), "transformBy", e.projection)
	}
	switch name {
	case "count":
		wrap("COUNT", "nCounted", p.matched)
	case "update", "findAndModify", "findandmodify":
		if e.op.args().bool("remove", false) {
			wrap("DELETE", "nWouldDelete", int32(p.matched))
			break
		}
		wrap("UPDATE", "nMatched", int32(p.matched), "nWouldModify", int32(p.matched), "nWouldUpsert", int32(0))
	case "delete":
		wrap("DELETE", "nWouldDelete", int32(p.matched))
	}
	return tree
}

func projectionKind(projection bson.Raw) string {
	for name, v := range value.Elements(projection) {
		if _, isNumber := value.AsInt64(v); strings.Contains(name, ".") || !isNumber && v.Type != bson.TypeBoolean {
			return "DEFAULT"
		}
	}
	return "SIMPLE"
}

// tree renders how the records are found.
func (p plan) tree(c *storage.Collection, w wanted, stats bool) bson.Raw {
	direction := "forward"
	if len(p.ranges) > 0 && p.ranges[0].Reverse {
		direction = "backward"
	}
	counts := func(pairs ...any) []any {
		if stats {
			pairs = append(pairs, "nReturned", int32(p.matched), "executionTimeMillisEstimate", int32(0))
		}
		return pairs
	}
	var filter []any
	if !isEmpty(w.filter) {
		filter = []any{"filter", parsedQuery(w.filter)}
	}
	if p.index == "" {
		pairs := counts(append(append([]any{"stage", "COLLSCAN"}, filter...), "direction", direction)...)
		if stats {
			pairs = append(pairs, "docsExamined", int32(p.examined))
		}
		return value.D(pairs...)
	}
	ix := c.Index(p.index)
	access := []any{"stage", "IXSCAN", "keyPattern", p.key, "indexName", p.index}
	if p.coll != nil {
		access = append(access, "collation", p.coll.Doc())
	}
	scan := counts(append(access, "isMultiKey", p.dedup, "isUnique", ix.Unique,
		"isSparse", ix.Sparse, "isPartial", ix.Partial != nil, "indexVersion", int32(2), "direction", direction, "indexBounds", p.bounds(ix, w))...)
	if stats {
		scan = append(scan, "keysExamined", int32(p.examined))
	}
	fetch := []any{"stage", "FETCH"}
	if fieldCount(w.filter) > p.fields {
		fetch = append(fetch, filter...)
	}
	fetch = counts(fetch...)
	if stats {
		fetch = append(fetch, "docsExamined", int32(p.examined))
	}
	return value.D(append(fetch, "inputStage", value.D(scan...))...)
}

// describe renders the plan without any numbers.
func (p plan) describe(c *storage.Collection, w wanted) bson.Raw { return p.tree(c, w, false) }

// bounds renders the bounds of an index scan by field.
func (p plan) bounds(ix *storage.Index, w wanted) bson.Raw {
	var pairs []any
	bounded := w.matcher != nil
	for i, name := range ix.Fields() {
		list := []any{"[MinKey, MaxKey]"}
		if ix.Descending(i) {
			list = []any{"[MaxKey, MinKey]"}
		}
		if bounded {
			b, ok := w.matcher.Bounds(name)
			if !p.coll.Same(w.matcher.Collation()) && b.HasStrings() {
				ok = false
			}
			eq, isPoints := points(b, ix, ix.Hashed() == i)
			bounded = ok && isPoints
			switch {
			case ok && isPoints:
				list = nil
				for _, v := range eq {
					list = append(list, "["+p.show(v)+", "+p.show(v)+"]")
				}
			case ok && ix.Hashed() != i:
				list = []any{p.renderRange(usableRange(b, ix), ix.Descending(i))}
			}
		}
		pairs = append(pairs, name, value.A(list...))
	}
	return value.D(pairs...)
}

// show renders a bound. A collated index has a comparison key for a string.
func (p plan) show(v bson.RawValue) string {
	if v.Type == bson.TypeString && p.coll != nil {
		return p.coll.Shown(v)
	}
	return rawdoc.Render(v)
}

func (p plan) renderRange(b query.Bounds, desc bool) string {
	low, high := "[MinKey", "MaxKey]"
	if b.Min != nil {
		low = bracket(b.MinIncl, "[", "(") + p.show(*b.Min)
	}
	if b.Max != nil {
		high = p.show(*b.Max) + bracket(b.MaxIncl, "]", ")")
	}
	if !desc {
		return low + ", " + high
	}
	flip := func(s string) string { return strings.NewReplacer("[", "]", "(", ")", "]", "[", ")", "(").Replace(s) }
	return flip(high[len(high)-1:]) + high[:len(high)-1] + ", " + low[1:] + flip(low[:1])
}

func bracket(inclusive bool, in, out string) string {
	if inclusive {
		return in
	}
	return out
}
