package mongod

import (
	"sync/atomic"
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
	lock      fsyncLock
	profiler  profiler
	began     time.Time
	txns      txnCounts
	in, out   atomic.Int64 // bytes of commands and replies
	requests  atomic.Int64
}

// traffic returns the bytes of commands and of replies, and how many there were.
func (r *records) traffic() (in, out, requests int64) {
	return r.in.Load(), r.out.Load(), r.requests.Load()
}

// sent records the size of a command and its reply.
func (r *records) sent(req *command.Request, reply int) {
	size := int64(len(req.Body))
	for _, seq := range req.Sequences {
		for _, d := range seq.Docs {
			size += int64(len(d))
		}
	}
	r.in.Add(size)
	r.out.Add(int64(reply))
	r.requests.Add(1)
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
