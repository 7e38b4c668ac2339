package aggregate

import "go.mongodb.org/mongo-driver/v2/bson"

// Pipeline is a compiled pipeline. It is immutable; each Run is independent.
type Pipeline struct {
	stages []func(Source) Source
}

// CompilePipeline parses the stages. Other collections are not touched before
// the pipeline runs.
func CompilePipeline(stages []bson.Raw, env Env) (*Pipeline, error) { return &Pipeline{}, nil }

// Run returns the pipeline's results over the documents of in. Nothing is read
// before the first Next.
func (p *Pipeline) Run(in Source) Source {
	for _, s := range p.stages {
		in = s(in)
	}
	return in
}

// Split divides a pipeline for a router: the stages each shard may run on its
// own documents, and those that must see the documents of all.
func Split(stages []bson.Raw) (shard, merge []bson.Raw) { return nil, stages }
