package mongos

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Label implements command.Labeler: it adds a router's error labels to those
// that a shard has given.
func (r *Router) Label(req *command.Request, err error) error {
	e := mongoerr.From(err)
	f := errlabel.Failure{Request: req, Code: e.Code, Router: true, Stream: func() bool { return r.concernsStream(req) }}
	for _, label := range errlabel.Of(f) {
		if !slices.Contains(e.Labels, label) {
			e = e.WithLabel(label)
		}
	}
	return e
}

// ConcernLabels implements command.Labeler.
func (r *Router) ConcernLabels(req *command.Request, code mongoerr.Code) []string {
	return errlabel.Of(errlabel.Failure{Request: req, Concern: code, Router: true})
}

// concernsStream reports whether req opens or reads a change stream.
func (r *Router) concernsStream(req *command.Request) bool {
	switch req.Name {
	case "aggregate":
		v, _ := value.Get(req.Body, "pipeline")
		stages := docsOf(v)
		return len(stages) > 0 && has(stages[0], "$changeStream")
	case "getMore":
		return r.cursors.streams.Has(getInt(req.Body, "getMore", 0))
	default:
		return false
	}
}
