package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runGetSessionMods tells what the node remembers of retryable writes, so that
// the shard that takes over their documents can answer a retry.
func runGetSessionMods(ctx context.Context, op *operation) (bson.Raw, error) {
	sessions := []any{}
	for _, s := range op.line.sessions.list() {
		if err := s.checkOut(ctx); err != nil {
			return nil, err
		}
		if len(s.results) > 0 {
			sessions = append(sessions, s.history())
		}
		s.checkIn()
	}
	return value.D("sessions", value.A(sessions...)), nil
}

// history is the session's latest number and the outcomes of its statements.
// The caller has the session checked out.
func (s *session) history() bson.Raw {
	statements := make([]any, 0, len(s.results))
	for id, r := range s.results {
		statements = append(statements, r.document(id))
	}
	return value.D("lsid", s.lsid, "txnNumber", s.number, "statements", value.A(statements...))
}

// document is the outcome of a statement as it travels between shards.
func (r stmtResult) document(stmtID int32) bson.Raw {
	pairs := []any{"stmtId", stmtID, "n", r.n, "nModified", r.modified}
	if r.upserted.Type != 0 {
		pairs = append(pairs, "upserted", r.upserted)
	}
	if r.reply != nil {
		pairs = append(pairs, "reply", r.reply)
	}
	return value.D(pairs...)
}

// runReceiveSessionMods takes over what another shard remembers.
func runReceiveSessionMods(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	for _, history := range a.docs("sessions") {
		lsid, _ := history.Lookup("lsid").DocumentOK()
		s, err := op.line.sessions.use(lsid, op.req.Client)
		if err != nil {
			return nil, err
		}
		if err := s.checkOut(ctx); err != nil {
			return nil, err
		}
		s.learn(op.node, history)
		err = op.line.keepHistory(s)
		s.checkIn()
		if err != nil {
			return nil, err
		}
	}
	return value.D(), a.err
}

// learn adds the outcomes of statements that another shard carried out. Those
// the session knows itself stay. The caller has the session checked out.
func (s *session) learn(n *Node, history bson.Raw) {
	number := history.Lookup("txnNumber").AsInt64()
	if number < s.number || number == s.number && s.txn != nil {
		return
	}
	if number > s.number && !s.interrupt(n) {
		return
	}
	if number > s.number {
		s.change(func() { s.number, s.txn, s.results = number, nil, map[int32]stmtResult{} })
	}
	statements, _ := history.Lookup("statements").ArrayOK()
	for _, v := range value.Elements(bson.Raw(statements)) {
		d := v.Document()
		id := d.Lookup("stmtId").Int32()
		if _, known := s.results[id]; known {
			continue
		}
		r := stmtResult{n: d.Lookup("n").AsInt64(), modified: d.Lookup("nModified").AsInt64(), upserted: d.Lookup("upserted")}
		r.upserted = ownValue(r.upserted)
		r.reply, _ = d.Lookup("reply").DocumentOK()
		s.change(func() { s.results[id] = r })
	}
}
