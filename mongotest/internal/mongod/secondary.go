package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// onSecondary are the further commands that a secondary runs only for clients
// who say that it may: they tell of the data.
var onSecondary = []string{
	"listCollections", "listIndexes", "listDatabases", "collStats", "dbStats", "dataSize", "explain", "dbHash", "validate",
}

// checkRole returns why a member in its present role does not run op.
func (op *operation) checkRole() error {
	if op.handler.has(always) || op.node.topo.isPrimary() {
		return nil
	}
	switch {
	case op.inTxn, op.number != noNumber, op.handler.has(isWrite) && !op.handler.has(isRead):
		return notPrimary()
	case !op.handler.has(isRead) && !slices.Contains(onSecondary, op.req.Name):
		return nil
	}
	if mode, _ := op.req.Body.Lookup("$readPreference", "mode").StringValueOK(); mode == "" || mode == "primary" {
		return notPrimaryNoSecondaryOK()
	}
	return nil
}

// writesResult reports whether op is an aggregate that ends in $out or $merge.
func (op *operation) writesResult() bool {
	if op.req.Name != "aggregate" {
		return false
	}
	stages, err := pipelineOf(op.req)
	if err != nil || len(stages) == 0 {
		return false
	}
	last := stages[len(stages)-1]
	return last.Lookup("$out").Type != 0 || last.Lookup("$merge").Type != 0
}

// chooseData gives op the snapshot that it reads, if that is not the latest
// data: its member is behind, or it asks for what a majority has.
func (op *operation) chooseData() {
	if op.inTxn || op.snapshot != nil {
		return
	}
	committed := op.concern.level == "majority" || op.concern.level == "linearizable"
	op.snapshot = op.node.set.reads(op.node, committed)
}

// awaitApplied returns when the member has applied everything up to ts, and,
// with committed set, a majority has too.
func (n *Node) awaitApplied(ctx context.Context, ts bson.Timestamp, committed bool) error {
	for {
		changed := n.set.progress.next()
		if !n.applied().Before(ts) && (!committed || !n.line().log.Majority().Before(ts)) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return interrupted(ctx, ctx.Err())
		}
	}
}

// applied returns the time up to which the member has applied.
func (n *Node) applied() bson.Timestamp { return n.place.Load().applied() }

// replSetStatus describes all members as this one sees them.
func (n *Node) replSetStatus() bson.Raw {
	s := n.set
	self := n.topo.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	optime := func(ts bson.Timestamp) bson.Raw { return value.D("ts", ts, "t", self.term) }
	var members []bson.Raw
	myState := 0
	for i, m := range s.members {
		code, name := 2, "SECONDARY"
		switch {
		case m != n && !s.sees(n, m):
			code, name = 8, "(not reachable/healthy)"
		case m.topo.isPrimary():
			code, name = 1, "PRIMARY"
		}
		health := 1.0
		if code == 8 {
			health = 0
		}
		pairs := []any{
			"_id", i, "name", m.cfg.Name, "health", health, "state", code, "stateStr", name,
			"optime", optime(m.place.Load().applied()), "configVersion", replSetVersion, "configTerm", self.term,
		}
		if m == n {
			myState = code
			pairs = append(pairs, "self", true)
		}
		members = append(members, value.D(pairs...))
	}
	commit := optime(n.line().log.Majority())
	own := optime(n.applied())
	most := s.majority()
	return value.D(
		"set", n.cfg.SetName, "myState", myState, "term", self.term, "heartbeatIntervalMillis", int64(2000),
		"majorityVoteCount", most, "writeMajorityCount", most,
		"votingMembersCount", len(s.members), "writableVotingMembersCount", len(s.members),
		"optimes", value.D("lastCommittedOpTime", commit, "readConcernMajorityOpTime", commit, "appliedOpTime", own, "durableOpTime", own),
		"members", members,
	)
}
