package mongos

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// preferring are the commands of clients whose reads go where the client prefers.
var preferring = []string{
	"find", "aggregate", "count", "distinct", "explain", "listCollections", "listIndexes", "listDatabases",
	"collStats", "collstats", "dataSize", "dbStats", "dbstats", "analyzeShardKey",
}

// choosePreference finds out where the reads of the client's command go. What
// writes, if only in its last stage, reads from primaries.
func (o *op) choosePreference() error {
	p, err := command.ParseReadPreference(o.req.Body)
	if err != nil || p == nil {
		return err
	}
	if o.txn != nil {
		return mongoerr.New(mongoerr.InvalidOptions, "Read preference in a transaction must be primary")
	}
	if !slices.Contains(preferring, o.req.Name) {
		return nil
	}
	if stages := getDocs(o.req.Body, "pipeline"); len(stages) > 0 {
		if last := stageName(stages, len(stages)-1); last == "$out" || last == "$merge" {
			return nil
		}
	}
	o.prefer = p
	return nil
}

// target is the member that a call is for.
func (o *op) target(c call) command.Target {
	if c.to.Member == "" && o.prefer != nil && slices.Contains(preferring, c.name) {
		return command.Target{Prefer: o.prefer}
	}
	return c.to
}
