package aggregate

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxPipeline is how many stages a pipeline may have.
const maxPipeline = 1000

// subPipeline reads the stages of a stage's own pipeline.
func subPipeline(name string, v bson.RawValue, env Env) ([]bson.Raw, error) {
	if v.Type == 0 {
		return nil, nil
	}
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "'pipeline' option of %s must be specified as an array", name)
	}
	var out []bson.Raw
	for _, s := range value.Elements(v.Value) {
		if s.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "Each element of the 'pipeline' array must be an object")
		}
		n, _, _ := rawdoc.First(s.Value)
		switch {
		case env.inFacet && !facetable(n):
			return nil, notInFacet(n)
		case n == "$out" || n == "$merge":
			code := mongoerr.Code(51047)
			if name == "$unionWith" {
				code = 31441
			}
			return nil, mongoerr.New(code, "%s is not allowed within a %s's sub-pipeline", n, name)
		case n == "$listLocalSessions" || n == "$listSampledQueries" || n == "$currentOp":
			return nil, mongoerr.New(mongoerr.InvalidNamespace, "%s must be run against the database with {aggregate: 1}, not a collection", n)
		}
		out = append(out, s.Value)
	}
	if len(out) > maxPipeline {
		return nil, mongoerr.New(7749501, "Pipeline length must be no longer than %d stages.", maxPipeline)
	}
	return out, nil
}

func docArray(docs []bson.Raw) bson.RawValue {
	var b rawdoc.Builder
	for _, d := range docs {
		b.Push(value.Doc(d))
	}
	return value.Array(b.Bytes())
}

// lookup is a compiled $lookup.
type lookup struct {
	env           Env
	from, as      string
	local, remote string // field names; empty for the pipeline form
	letNames      []string
	letExprs      []evalFunc
	stages        []bson.Raw
}

func compileLookup(spec bson.RawValue, env Env) (stage, error) {
	if env.Reader == nil {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "$lookup cannot read other collections here")
	}
	raw, err := lookupArgs(spec)
	if err != nil {
		return nil, err
	}
	l := &lookup{env: env}
	if err := l.names(raw); err != nil {
		return nil, err
	}
	_, let := raw["let"]
	_, pipeline := raw["pipeline"]
	switch {
	case (l.local == "") != (l.remote == ""):
		return nil, mongoerr.New(mongoerr.FailedToParse, "$lookup requires both or neither of 'localField' and 'foreignField' to be specified")
	case l.local == "" && !pipeline:
		return nil, mongoerr.New(mongoerr.FailedToParse, "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified")
	case let && !pipeline:
		return nil, mongoerr.New(mongoerr.FailedToParse, "$lookup with a 'let' argument must also specify 'pipeline'")
	}
	for k, v := range value.Elements(raw["let"].Value) {
		if err := checkVariable(k); err != nil {
			return nil, err
		}
		fn, err := compile(v)
		if err != nil {
			return nil, err
		}
		l.letNames, l.letExprs = append(l.letNames, k), append(l.letExprs, fn)
	}
	if l.stages, err = subPipeline("$lookup", raw["pipeline"], env); err != nil {
		return nil, err
	}
	if err := l.checkDocuments(); err != nil {
		return nil, err
	}
	if _, err := CompilePipeline(l.stages, env); err != nil {
		return nil, err
	}
	return l.stage, nil
}

func (l *lookup) stage(in Source) Source {
	var foreign []bson.Raw
	var index map[string][]int
	read := false
	return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
		doc, err := in.Next(ctx)
		if doc == nil || err != nil {
			return nil, err
		}
		if !read {
			if foreign, err = l.read(ctx); err != nil {
				return nil, err
			}
			index = l.index(foreign)
			read = true
		}
		found, err := l.join(ctx, doc, foreign, index)
		if err != nil {
			return nil, err
		}
		return withPath(doc, strings.Split(l.as, "."), docArray(found)), nil
	})
}

func (l *lookup) read(ctx context.Context) ([]bson.Raw, error) {
	if l.from == "" {
		return nil, nil
	}
	src, err := l.env.Reader.Open(ctx, l.env.DB, l.from)
	if err != nil {
		return nil, err
	}
	return Collect(ctx, src)
}

// index finds the foreign documents by the values of their join field.
func (l *lookup) index(foreign []bson.Raw) map[string][]int {
	if l.local == "" {
		return nil
	}
	index := map[string][]int{}
	for i, f := range foreign {
		for _, v := range joinKeys(f, l.remote) {
			k := l.env.Vars.groupKey(v)
			index[k] = append(index[k], i)
		}
	}
	return index
}

func (l *lookup) join(ctx context.Context, doc bson.Raw, foreign []bson.Raw, index map[string][]int) ([]bson.Raw, error) {
	if l.local != "" {
		var at []int
		for _, v := range joinKeys(doc, l.local) {
			at = append(at, index[l.env.Vars.groupKey(v)]...)
		}
		slices.Sort(at)
		matched := make([]bson.Raw, 0, len(at))
		for _, i := range slices.Compact(at) {
			matched = append(matched, foreign[i])
		}
		foreign = matched
	}
	if len(l.stages) == 0 {
		return foreign, nil
	}
	env := l.env
	vals, err := evalAll(evalCtx{root: doc, vars: env.Vars}, l.letExprs)
	if err != nil {
		return nil, err
	}
	for i, n := range l.letNames {
		env.Vars = env.Vars.With(n, vals[i])
	}
	p, err := CompilePipeline(l.stages, env)
	if err != nil {
		return nil, err
	}
	return Collect(ctx, p.Run(FromSlice(foreign)))
}

// joinKeys are the values a field equals: its own, the elements of an array,
// or null when it is missing.
func joinKeys(doc bson.Raw, path string) []bson.RawValue {
	vals := value.LookupAll(doc, path)
	for _, v := range vals {
		if v.Type == bson.TypeArray {
			vals = append(vals, rawdoc.Values(v.Value)...)
		}
	}
	if len(vals) == 0 {
		return []bson.RawValue{value.Null()}
	}
	return vals
}

func compileUnionWith(spec bson.RawValue, env Env) (stage, error) {
	if env.Reader == nil {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "$unionWith cannot read other collections here")
	}
	coll, ok := spec.StringValueOK()
	var stages []bson.Raw
	if !ok {
		raw, err := rawArgs("$unionWith", spec, nil, []string{"coll", "pipeline"})
		if err != nil {
			return nil, err
		}
		coll, _ = raw["coll"].StringValueOK()
		if stages, err = subPipeline("$unionWith", raw["pipeline"], env); err != nil {
			return nil, err
		}
	}
	p, err := CompilePipeline(stages, env)
	if err != nil {
		return nil, err
	}
	return func(in Source) Source {
		var second Source
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			if second == nil {
				if doc, err := in.Next(ctx); doc != nil || err != nil {
					return doc, err
				}
				src := FromSlice(nil)
				if coll != "" {
					var err error
					if src, err = env.Reader.Open(ctx, env.DB, coll); err != nil {
						return nil, err
					}
				}
				second = p.Run(src)
			}
			return second.Next(ctx)
		})
	}, nil
}
