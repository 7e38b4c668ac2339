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

// subPipeline reads the stages of a stage's own pipeline.
func subPipeline(name string, v bson.RawValue) ([]bson.Raw, error) {
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
		if n, _, _ := rawdoc.First(s.Value); n == "$out" || n == "$merge" {
			return nil, mongoerr.New(51047, "%s is not allowed within a %s's sub-pipeline", n, name)
		}
		out = append(out, s.Value)
	}
	return out, nil
}

func compileFacet(spec bson.RawValue, env Env) (stage, error) {
	if spec.Type != bson.TypeEmbeddedDocument || value.IsEmpty(spec.Value) {
		return nil, mongoerr.New(40169, "the $facet specification must be a non-empty object")
	}
	var names []string
	var pipes []*Pipeline
	for k, v := range value.Elements(spec.Value) {
		stages, err := subPipeline("$facet", v)
		if err != nil {
			return nil, err
		}
		p, err := CompilePipeline(stages, env)
		if err != nil {
			return nil, err
		}
		names, pipes = append(names, k), append(pipes, p)
	}
	return gathered(func(ctx context.Context, docs []bson.Raw) ([]bson.Raw, error) {
		var b rawdoc.Builder
		for i, p := range pipes {
			found, err := Collect(ctx, p.Run(FromSlice(docs)))
			if err != nil {
				return nil, err
			}
			b.Add(names[i], docArray(found))
		}
		return []bson.Raw{b.Bytes()}, nil
	}), nil
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
	raw, err := rawArgs("$lookup", spec, []string{"from", "as"}, []string{"localField", "foreignField", "let", "pipeline"})
	if err != nil {
		return nil, err
	}
	l := &lookup{env: env}
	for k, dst := range map[string]*string{"from": &l.from, "as": &l.as, "localField": &l.local, "foreignField": &l.remote} {
		v, given := raw[k]
		if !given {
			continue
		}
		var ok bool
		if *dst, ok = v.StringValueOK(); !ok {
			return nil, mongoerr.New(mongoerr.FailedToParse, "$lookup argument '%s' must be a string, found %s", k, rawdoc.TypeName(v.Type))
		}
	}
	if (l.local == "") != (l.remote == "") {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$lookup requires both or neither of 'localField' and 'foreignField' to be specified")
	}
	if l.local == "" && raw["pipeline"].Type == 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified")
	}
	for k, v := range value.Elements(raw["let"].Value) {
		fn, err := compile(v)
		if err != nil {
			return nil, err
		}
		l.letNames, l.letExprs = append(l.letNames, k), append(l.letExprs, fn)
	}
	if l.stages, err = subPipeline("$lookup", raw["pipeline"]); err != nil {
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
			src, err := l.env.Reader.Open(ctx, l.env.DB, l.from)
			if err != nil {
				return nil, err
			}
			if foreign, err = Collect(ctx, src); err != nil {
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

// index finds the foreign documents by the values of their join field.
func (l *lookup) index(foreign []bson.Raw) map[string][]int {
	if l.local == "" {
		return nil
	}
	index := map[string][]int{}
	for i, f := range foreign {
		for _, v := range joinKeys(f, l.remote) {
			k := groupKey(v)
			index[k] = append(index[k], i)
		}
	}
	return index
}

func (l *lookup) join(ctx context.Context, doc bson.Raw, foreign []bson.Raw, index map[string][]int) ([]bson.Raw, error) {
	if l.local != "" {
		var at []int
		for _, v := range joinKeys(doc, l.local) {
			at = append(at, index[groupKey(v)]...)
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
		if stages, err = subPipeline("$unionWith", raw["pipeline"]); err != nil {
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
