package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The limits every server announces (server-facts 7.2).
const (
	maxBSONObjectSize  = 16 << 20
	maxMessageSize     = 48_000_000
	maxWriteBatchSize  = 100_000
	sessionTimeoutMins = 30
	replSetVersion     = 1
)

// runHello answers hello and its old names. With topologyVersion and
// maxAwaitTimeMS it answers when the topology differs from what the client
// knows, or the time is over.
func runHello(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	known := a.doc("topologyVersion")
	awaitMS := a.count("maxAwaitTimeMS", 0)
	if a.err != nil {
		return nil, a.err
	}
	if (known != nil) != a.has("maxAwaitTimeMS") {
		return nil, mongoerr.New(51760, "A request with a 'topologyVersion' must include 'maxAwaitTimeMS', and the other way round")
	}
	if known != nil {
		if err := op.node.awaitTopology(ctx, known, time.Duration(awaitMS)*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return op.node.hello(op), nil
}

// awaitTopology waits until the topology is not the known one.
func (n *Node) awaitTopology(ctx context.Context, known bson.Raw, d time.Duration) error {
	process, _ := known.Lookup("processId").ObjectIDOK()
	counter, _ := known.Lookup("counter").AsInt64OK()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		changed := n.topo.changes.next()
		s := n.topo.state()
		if s.processID != process || s.counter != counter {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hello describes the node. What concerns the connection (helloOk,
// connectionId, compression, authentication) is added by the wire layer.
func (n *Node) hello(op *operation) bson.Raw {
	s := n.topo.state()
	var pairs []any
	add := func(name string, v any) { pairs = append(pairs, name, v) }
	add("topologyVersion", value.D("processId", s.processID, "counter", s.counter))
	add("hosts", n.set.hosts())
	add("setName", n.cfg.SetName)
	add("setVersion", replSetVersion)
	if op.req.Name == "hello" {
		add("isWritablePrimary", s.primary)
	} else {
		add("ismaster", s.primary)
	}
	add("secondary", !s.primary)
	if s.leader != "" {
		add("primary", s.leader)
	}
	add("me", n.cfg.Name)
	if s.primary {
		add("electionId", s.electionID())
	}
	if n.cfg.ConfigServer {
		add("configsvr", 2)
	}
	add("lastWrite", n.lastWrite(s.term))
	add("maxBsonObjectSize", maxBSONObjectSize)
	add("maxMessageSizeBytes", maxMessageSize)
	add("maxWriteBatchSize", maxWriteBatchSize)
	add("localTime", n.now())
	add("logicalSessionTimeoutMinutes", sessionTimeoutMins)
	add("minWireVersion", 0)
	add("maxWireVersion", n.cfg.Version.Wire())
	add("readOnly", false)
	return value.D(pairs...)
}

// Wrote returns when the latest write was made that the member has.
func (n *Node) Wrote() time.Time { return time.Unix(int64(n.applied().T), 0) }

func (n *Node) lastWrite(term int64) bson.Raw {
	last, majority := n.applied(), n.line().log.Majority()
	return value.D(
		"opTime", value.D("ts", last, "t", term),
		"lastWriteDate", time.Unix(int64(last.T), 0),
		"majorityOpTime", value.D("ts", majority, "t", term),
		"majorityWriteDate", time.Unix(int64(majority.T), 0),
	)
}
