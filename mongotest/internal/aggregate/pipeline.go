package aggregate

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// stage turns one stream of documents into another.
type stage func(in Source) Source

// Pipeline is a compiled pipeline. It is immutable; each Run is independent.
type Pipeline struct {
	stages []stage
}

// CompilePipeline parses the stages. Other collections are not touched before
// the pipeline runs. The sources that only a server can make ($collStats,
// $indexStats, $changeStream, …) must have been taken off by the caller.
func CompilePipeline(stages []bson.Raw, env Env) (*Pipeline, error) {
	p := &Pipeline{}
	for i, s := range stages {
		name, spec, err := stageOf(s)
		if err != nil {
			return nil, err
		}
		if (name == "$out" || name == "$merge") && i != len(stages)-1 {
			return nil, mongoerr.New(40601, "%s can only be the final stage in the pipeline", name)
		}
		if name == "$documents" && i > 0 {
			return nil, notFirst(name)
		}
		st, err := compileStage(name, spec, env)
		if err != nil {
			return nil, err
		}
		p.stages = append(p.stages, st)
	}
	return p, nil
}

// Run returns the pipeline's results over the documents of in. Nothing is read
// before the first Next.
func (p *Pipeline) Run(in Source) Source {
	for _, s := range p.stages {
		in = s(in)
	}
	return in
}

// RunCounted is Run, and tells how many documents each stage has yielded.
func (p *Pipeline) RunCounted(in Source) (out Source, counts func() []int64) {
	n := make([]int64, len(p.stages))
	for i, s := range p.stages {
		stage := s(in)
		in = sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			doc, err := stage.Next(ctx)
			if doc != nil {
				n[i]++
			}
			return doc, err
		})
	}
	return in, func() []int64 { return n }
}

// compiler compiles one stage.
type compiler func(spec bson.RawValue, env Env) (stage, error)

func stageCompiler(name string) (compiler, bool) {
	c, ok := map[string]compiler{
		"$match": compileMatch, "$sort": compileSort, "$limit": compileLimit, "$skip": compileSkip, "$count": compileCount,
		"$unwind": compileUnwind, "$sample": compileSample, "$group": compileGroup, "$sortByCount": compileSortByCount,
		"$bucketAuto": compileBucketAuto, "$facet": compileFacet, "$lookup": compileLookup, "$unionWith": compileUnionWith,
		"$out": compileOut, "$merge": compileMerge, "$documents": compileDocuments,
		"$setWindowFields": compileSetWindowFields, "$bucket": compileBucket, "$redact": compileRedact, "$graphLookup": compileGraphLookup,
		"$densify": compileDensify, "$fill": compileFill, timeseries.UnpackStage: compileUnpackBucket,
	}[name]
	return c, ok
}

// IsStage reports whether a pipeline may contain a stage of that name.
func IsStage(name string) bool {
	switch name {
	case "$project", "$addFields", "$set", "$unset", "$replaceRoot", "$replaceWith":
		return true
	}
	_, ok := stageCompiler(name)
	return ok
}

func compileStage(name string, spec bson.RawValue, env Env) (stage, error) {
	if st, ok, err := compileDocStage(name, spec); ok {
		if err != nil {
			return nil, err
		}
		return func(in Source) Source {
			return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
				doc, err := in.Next(ctx)
				if doc == nil || err != nil {
					return nil, err
				}
				if doc, err = st(doc, env.Vars); err != nil {
					return nil, err
				}
				return doc, checkDocument(doc)
			})
		}, nil
	}
	c, ok := stageCompiler(name)
	if !ok {
		if firstOnly(name) {
			return nil, notFirst(name)
		}
		return nil, unrecognized(name)
	}
	return c(spec, env)
}

// Knows reports whether there is a stage of that name, be it one that only the
// caller makes.
func Knows(name string) bool { return IsStage(name) || firstOnly(name) }

// firstOnly reports whether a stage reads the server's own state and so must
// be the first, where the server takes it off.
func firstOnly(name string) bool {
	switch name {
	case "$collStats", "$indexStats", "$currentOp", "$listLocalSessions", "$listSessions", "$planCacheStats", "$changeStream", "$geoNear",
		"$listClusterCatalog", "$listSampledQueries", "$listSearchIndexes", "$querySettings", "$queryStats", "$shardedDataDistribution", "$search", "$searchMeta", "$vectorSearch":
		return true
	}
	return false
}

func notFirst(name string) error {
	if name == "$geoNear" {
		return mongoerr.New(40603, "$geoNear was not the first stage in the pipeline after optimization. Is optimization disabled or inhibited?")
	}
	return mongoerr.New(40602, "%s is only valid as the first stage in a pipeline.", name)
}

// sourceFunc makes a Source of a function.
type sourceFunc func(ctx context.Context) (bson.Raw, error)

// Next implements Source.
func (f sourceFunc) Next(ctx context.Context) (bson.Raw, error) { return f(ctx) }

// FromSlice returns a Source of the given documents.
func FromSlice(docs []bson.Raw) Source {
	return sourceFunc(func(context.Context) (bson.Raw, error) {
		if len(docs) == 0 {
			return nil, nil
		}
		d := docs[0]
		docs = docs[1:]
		return d, nil
	})
}

// Collect reads a Source to its end.
func Collect(ctx context.Context, in Source) ([]bson.Raw, error) {
	var out []bson.Raw
	for {
		doc, err := in.Next(ctx)
		if doc == nil || err != nil {
			return out, err
		}
		out = append(out, doc)
	}
}

// gathered is a stage that needs all documents before it yields the first.
func gathered(f func(ctx context.Context, docs []bson.Raw) ([]bson.Raw, error)) stage {
	return func(in Source) Source {
		var out Source
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			if out == nil {
				docs, err := Collect(ctx, in)
				if err != nil {
					return nil, err
				}
				if docs, err = f(ctx, docs); err != nil {
					return nil, err
				}
				out = FromSlice(docs)
			}
			return out.Next(ctx)
		})
	}
}

func compileMatch(spec bson.RawValue, env Env) (stage, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(15959, "the match filter must be an expression in an object")
	}
	m, err := query.Compile(spec.Value, query.Options{Collation: env.Vars.coll, Expr: ExprHook(env.Vars), Value: ValueHook(env.Vars), Text: query.TextTooLate, Where: env.Where})
	if err != nil {
		return nil, err
	}
	return func(in Source) Source {
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			for {
				doc, err := in.Next(ctx)
				if doc == nil || err != nil {
					return nil, err
				}
				if ok, err := m.Match(doc); err != nil || ok {
					return doc, err
				}
			}
		})
	}, nil
}

func compileDocuments(spec bson.RawValue, env Env) (stage, error) {
	fn, err := compile(spec)
	if err != nil {
		return nil, err
	}
	return gathered(func(context.Context, []bson.Raw) ([]bson.Raw, error) {
		v, err := fn(evalCtx{root: value.D(), vars: env.Vars})
		if err != nil {
			return nil, err
		}
		if v.Type != bson.TypeArray {
			return nil, mongoerr.New(5858203, "an array is expected by $documents")
		}
		var out []bson.Raw
		for _, d := range value.Elements(v.Value) {
			if d.Type != bson.TypeEmbeddedDocument {
				return nil, mongoerr.New(40228, "$documents must be an array of objects")
			}
			out = append(out, d.Value)
		}
		return out, nil
	}), nil
}
