package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// pipelineStages are the stages an update may use.
var pipelineStages = map[string]bool{
	"$addFields": true, "$set": true, "$project": true, "$unset": true, "$replaceRoot": true, "$replaceWith": true,
}

// pipelineUpdate computes the new document by an aggregation pipeline.
type pipelineUpdate struct {
	transform *aggregate.Transform
	opts      Options
}

func compilePipeline(stages bson.Raw, o Options) (executor, error) {
	if len(o.ArrayFilters) > 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "arrayFilters may not be specified for pipeline-syle updates")
	}
	var list []bson.Raw
	for _, s := range value.Elements(stages) {
		if s.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "Each element of the 'pipeline' array must be an object")
		}
		name, _, _ := rawdoc.First(s.Value)
		if !pipelineStages[name] && aggregate.IsStage(name) {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "%s is not allowed to be used within an update", name)
		}
		list = append(list, s.Value)
	}
	t, err := aggregate.CompileTransform(list)
	if err != nil {
		return nil, err
	}
	return &pipelineUpdate{transform: t, opts: o}, nil
}

func (p *pipelineUpdate) apply(doc bson.Raw, _ int, _ bool) (bson.Raw, error) {
	vars := aggregate.NewVars(p.opts.Let, p.opts.now(), p.opts.timestamp()).Collated(p.opts.Collation)
	if p.opts.Script != nil {
		vars = vars.WithScript(p.opts.Script)
	}
	post, err := p.transform.Apply(doc, vars)
	if err != nil {
		return nil, err
	}
	o := p.opts
	o.KeepEmptyTimestamps = true // a pipeline's values are stored as computed
	return replaceKeepingID(doc, post, o)
}
