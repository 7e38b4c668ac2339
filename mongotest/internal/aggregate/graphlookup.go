package aggregate

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// graphLookup is a compiled $graphLookup.
type graphLookup struct {
	env          Env
	from, as     string
	follow, find string // connectFromField, connectToField
	depthField   string
	start        evalFunc
	maxDepth     int64 // -1: none
	filter       *query.Matcher
}

func compileGraphLookup(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$graphLookup", spec, []string{"from", "startWith", "connectFromField", "connectToField", "as"}, []string{"maxDepth", "depthField", "restrictSearchWithMatch"})
	if err != nil {
		return nil, err
	}
	if env.Reader == nil {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "$graphLookup cannot read other collections here")
	}
	g := &graphLookup{env: env, maxDepth: -1}
	for k, dst := range map[string]*string{"from": &g.from, "as": &g.as, "connectFromField": &g.follow, "connectToField": &g.find, "depthField": &g.depthField} {
		v, given := raw[k]
		if !given {
			continue
		}
		var ok bool
		if *dst, ok = v.StringValueOK(); !ok {
			return nil, mongoerr.New(40103, "expected string as argument for %s, found: %s", k, typeName(v))
		}
		if k != "from" {
			if err := checkPath(strings.Split(*dst, ".")); err != nil {
				return nil, err
			}
		}
	}
	if v, given := raw["maxDepth"]; given {
		if !number.Is(v) {
			return nil, mongoerr.New(40100, "maxDepth must be numeric, found type: %s", typeName(v))
		}
		n, ok := number.Exact(v)
		if !ok {
			return nil, mongoerr.New(40102, "maxDepth could not be represented as a long long: %s", rawdoc.Render(v))
		}
		if n < 0 {
			return nil, mongoerr.New(40101, "maxDepth requires a nonnegative argument, found: %d", n)
		}
		g.maxDepth = n
	}
	if v, given := raw["restrictSearchWithMatch"]; given {
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(40185, "restrictSearchWithMatch must be an object, found %s", typeName(v))
		}
		if g.filter, err = query.Compile(v.Value, query.Options{Collation: env.Vars.coll, Expr: ExprHook(env.Vars), Value: ValueHook(env.Vars)}); err != nil {
			return nil, err
		}
	}
	g.start, err = compile(raw["startWith"])
	return g.stage, err
}

func (g *graphLookup) stage(in Source) Source {
	var nodes []bson.Raw
	var index map[string][]int
	return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
		doc, err := in.Next(ctx)
		if doc == nil || err != nil {
			return nil, err
		}
		if index == nil {
			if nodes, index, err = g.read(ctx); err != nil {
				return nil, err
			}
		}
		start, err := g.start(evalCtx{root: doc, vars: g.env.Vars})
		if err != nil {
			return nil, err
		}
		return withPath(doc, strings.Split(g.as, "."), docArray(g.search(start, nodes, index))), nil
	})
}

// read returns the documents of the graph and where each value leads.
func (g *graphLookup) read(ctx context.Context) ([]bson.Raw, map[string][]int, error) {
	src, err := g.env.Reader.Open(ctx, g.env.DB, g.from)
	if err != nil {
		return nil, nil, err
	}
	all, err := Collect(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	var nodes []bson.Raw
	index := map[string][]int{}
	for _, d := range all {
		if g.filter != nil {
			ok, err := g.filter.Match(d)
			if err != nil {
				return nil, nil, err
			}
			if !ok {
				continue
			}
		}
		for _, v := range joinKeys(d, g.find) {
			k := g.env.Vars.groupKey(v)
			index[k] = append(index[k], len(nodes))
		}
		nodes = append(nodes, d)
	}
	return nodes, index, nil
}

// search goes from the start in breadth; each document is found once.
func (g *graphLookup) search(start bson.RawValue, nodes []bson.Raw, index map[string][]int) []bson.Raw {
	frontier := []bson.RawValue{orNull(start)}
	if start.Type == bson.TypeArray {
		frontier = rawdoc.Values(start.Value)
	}
	var found []bson.Raw
	seen := map[int]bool{}
	asked := map[string]bool{}
	for depth := int64(0); len(frontier) > 0 && (g.maxDepth < 0 || depth <= g.maxDepth); depth++ {
		var next []bson.RawValue
		for _, v := range frontier {
			key := g.env.Vars.groupKey(v)
			if asked[key] {
				continue
			}
			asked[key] = true
			for _, i := range index[key] {
				if seen[i] {
					continue
				}
				seen[i] = true
				d := nodes[i]
				if g.depthField != "" {
					d = withPath(d, strings.Split(g.depthField, "."), value.Int64(depth))
				}
				found = append(found, d)
				next = append(next, value.LookupAll(nodes[i], g.follow)...)
			}
		}
		frontier = next
	}
	return found
}
