package mongod

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// now is the time by the process's own clock.
func (n *Node) now() time.Time { return time.Now().Add(time.Duration(n.skew.Load())) }

// SetSkew sets the process's clock ahead by so much, or back. The cluster time of
// what it writes goes by its clock.
func (n *Node) SetSkew(d time.Duration) {
	n.skew.Store(int64(d))
	n.set.settleNow()
}

// setClock has the cluster time go by the clock of whoever writes. The caller
// holds mu.
func (s *ReplicaSet) setClock() {
	if m := s.writerOf(s.line()); m != nil {
		s.cfg.Clock.SetSkew(time.Duration(m.skew.Load()))
	}
}

// gossip moves the node's clock to the $clusterTime of the request.
func (n *Node) gossip(req *command.Request) error {
	ct, ok := req.Body.Lookup("$clusterTime").DocumentOK()
	if !ok {
		return nil
	}
	t, i, ok := ct.Lookup("clusterTime").TimestampOK()
	if !ok {
		return nil
	}
	if err := oplog.CheckDrift(bson.Timestamp{T: t, I: i}, n.now()); err != nil {
		return err
	}
	n.cfg.Clock.Advance(bson.Timestamp{T: t, I: i})
	return nil
}
