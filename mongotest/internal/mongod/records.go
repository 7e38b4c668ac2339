package mongod

import (
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
)

// records are what a node keeps about its operations and their plans, until it
// ends.
type records struct {
	latencies latencies
	filters   planning.IndexFilters
	plans     planning.Cache
}

// note records a command that has succeeded. What is known about a namespace
// goes with it, and the plans of a collection with its indexes.
func (r *records) note(req *command.Request, took time.Duration) {
	r.latencies.note(req, took)
	switch req.Name {
	case "createIndexes", "dropIndexes", "deleteIndexes", "collMod":
		r.plans.Clear(req.NS(), nil)
	case "drop", "convertToCapped":
		r.forget(req.NS())
	case "renameCollection":
		r.forget(req.Collection())
		to, _ := req.Body.Lookup("to").StringValueOK()
		r.forget(to)
	case "dropDatabase":
		for _, ns := range r.latencies.names(req.DB) {
			r.forget(ns)
		}
	}
}

func (r *records) forget(ns string) {
	r.latencies.forget(ns)
	r.filters.Clear(ns, nil)
	r.plans.Clear(ns, nil)
}
