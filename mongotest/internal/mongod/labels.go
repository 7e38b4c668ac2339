package mongod

import (
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// label adds the error labels that the server attaches to a failed command
// (server-facts 2.8 and 6.4), and logs the failure.
func (n *Node) label(req *command.Request, err error) error {
	e := mongoerr.From(err)
	n.cfg.Logger.Debug("command failed", "command", req.Name, "db", req.DB, "error", e)
	return errlabel.Add(e, errlabel.Failure{Request: req, Stream: func() bool { return n.concernsStream(req) }})
}

// Label implements command.Labeler. A getMore that has not begun to run does
// not know yet what its cursor is.
func (n *Node) Label(req *command.Request, err error) error {
	if req.Name == "getMore" {
		return errlabel.Add(mongoerr.From(err), errlabel.Failure{Request: req})
	}
	return n.label(req, err)
}

// ConcernLabels implements command.Labeler.
func (n *Node) ConcernLabels(req *command.Request, code mongoerr.Code) []string {
	return errlabel.Of(errlabel.Failure{Request: req, Concern: code})
}

// concernsStream reports whether req opens or reads a change stream.
func (n *Node) concernsStream(req *command.Request) bool {
	switch req.Name {
	case "aggregate":
		stages, err := pipelineOf(req)
		return err == nil && len(stages) > 0 && stages[0].Lookup("$changeStream").Type != 0
	case "getMore":
		// The cursor may be gone by now, so the table remembers which were streams.
		id, _ := req.Body.Lookup("getMore").AsInt64OK()
		return n.cursors.streams.Has(id)
	default:
		return false
	}
}
