package mongod

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// waitForWriteConcern waits until as many members have op's write as its write
// concern asks for. It returns the writeConcernError of the reply, nil if the
// concern is met.
func (op *operation) waitForWriteConcern(ctx context.Context) (bson.Raw, error) {
	if !op.handler.has(isWrite) || op.txn != nil || op.writesNothing() {
		return nil, nil
	}
	a := op.args()
	wc := a.doc("writeConcern")
	if a.err != nil {
		return nil, a.err
	}
	need, concernError := op.members(wc)
	if concernError != nil || need <= 1 {
		return concernError, nil
	}
	if ms, _ := value.AsInt64(wc.Lookup("wtimeout")); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(ms)*time.Millisecond, errWaitedEnough)
		defer cancel()
	}
	err := op.node.set.await(ctx, op.node.cfg.Log.Last(), need)
	if errors.Is(err, errWaitedEnough) {
		return appendFields(concernErrorDoc(mongoerr.WriteConcernTimeout, "waiting for replication timed out"),
			"errInfo", value.D("wtimeout", true, "writeConcern", wc)), nil
	}
	if err != nil { // the write has been done, whatever became of the wait
		e := mongoerr.From(interrupted(ctx, err))
		return concernErrorDoc(e.Code, e.Message), nil
	}
	return nil, nil
}

var errWaitedEnough = mongoerr.New(mongoerr.WriteConcernTimeout, "waiting for replication timed out")

// writesNothing reports whether op is an aggregate without $out and $merge.
func (op *operation) writesNothing() bool { return op.req.Name == "aggregate" && !op.writesResult() }

// members returns how many members a write concern asks for; by default a
// majority.
func (op *operation) members(wc bson.Raw) (int, bson.Raw) {
	all := op.node.set.size()
	w := wc.Lookup("w")
	name, isString := w.StringValueOK()
	n, isNumber := value.AsInt64(w)
	switch {
	case isString && name != "majority":
		return 0, concernErrorDoc(mongoerr.UnknownReplWriteConcern, "No write concern mode named '"+name+"' found in replica set configuration")
	case isString, w.Type == 0, w.Type == bson.TypeNull:
		return all/2 + 1, nil
	case !isNumber || n > int64(all): // members have no tags
		return 0, concernErrorDoc(mongoerr.UnsatisfiableWriteConcern, "Not enough data-bearing nodes")
	}
	return int(n), nil
}

// await returns when at least need members have everything up to ts.
func (s *ReplicaSet) await(ctx context.Context, ts bson.Timestamp, need int) error {
	for {
		changed := s.progress.next()
		if s.have(ts) >= need {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// have returns how many members have everything up to ts.
func (s *ReplicaSet) have(ts bson.Timestamp) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.members {
		if !s.position(m).Before(ts) {
			n++
		}
	}
	return n
}

func concernErrorDoc(code mongoerr.Code, msg string) bson.Raw {
	return value.D("code", int32(code), "codeName", mongoerr.CodeName(code), "errmsg", msg)
}

// appendConcernError returns body with a writeConcernError, if there is one.
func appendConcernError(body, concernError bson.Raw) bson.Raw {
	if concernError == nil {
		return body
	}
	return appendFields(body, "writeConcernError", concernError)
}
