package mongos

import (
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// How often a router looks at the catalog again before it gives up: for a read,
// and for a write that has got nowhere.
const (
	staleRetries = 10
	staleRounds  = 5
)

// isStale reports whether a shard has refused a command because its router does
// not know where things are by now.
func isStale(err error) bool {
	return mongoerr.Is(err, mongoerr.StaleConfig) || mongoerr.Is(err, mongoerr.StaleDbVersion)
}

// fresh runs f, which goes by what the router knows of ns, again whenever a shard
// has refused what f sent it because the router knows too little: nothing has
// been done then.
func (o *op) fresh(ns string, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		if !isStale(err) {
			return err
		}
		if try == staleRetries {
			return tooStale(o.req.Name, err)
		}
		o.r.known.forget(ns)
	}
}

func tooStale(name string, err error) error {
	e := *mongoerr.From(err)
	if name == "find" {
		e.Message = "Failed to run query after 10 retries :: caused by :: " + e.Message
	} else {
		e.Message = "Exceeded maximum number of 10 retries attempting '" + name + "' :: caused by :: " + e.Message
	}
	return &e
}

// freshly is fresh for what gives an answer.
func freshly[T any](o *op, ns string, f func() (T, error)) (T, error) {
	var answer T
	err := o.fresh(ns, func() error {
		var err error
		answer, err = f()
		return err
	})
	return answer, err
}
