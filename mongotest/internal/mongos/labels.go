package mongos

import (
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// label adds a router's error labels to those that a shard has given.
func (r *Router) label(req *command.Request, err error) error {
	f := errlabel.Failure{Request: req, Router: true, Stream: func() bool { return r.concernsStream(req) }}
	return errlabel.Add(mongoerr.From(err), f)
}

// Label implements command.Labeler. A getMore that has not begun to run does
// not know yet what its cursor is.
func (r *Router) Label(req *command.Request, err error) error {
	if req.Name == "getMore" {
		return errlabel.Add(mongoerr.From(err), errlabel.Failure{Request: req, Router: true})
	}
	return r.label(req, err)
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
