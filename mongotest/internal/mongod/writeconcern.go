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
	journaled := value.Truthy(wc.Lookup("j"))
	if wc.Lookup("w").Type == 0 {
		if byDefault := op.node.set.wide.concerns.concern(); byDefault != nil {
			wc = byDefault
		}
	}
	if err := op.journal(wc, journaled); err != nil {
		return nil, err
	}
	need, committed, concernError := op.members(wc)
	if concernError != nil || need <= 1 && !committed {
		return concernError, nil
	}
	if ms, _ := value.AsInt64(wc.Lookup("wtimeout")); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(ms)*time.Millisecond, errWaitedEnough)
		defer cancel()
	}
	err := op.node.set.await(ctx, op.line, op.line.log.Last(), need, committed)
	if errors.Is(err, errWaitedEnough) {
		return appendFields(concernErrorDoc(mongoerr.WriteConcernTimeout, "waiting for replication timed out"),
			"errInfo", value.D("wtimeout", true, "writeConcern", wc)), nil
	}
	if err != nil { // the write has been done, whatever became of the wait
		e := mongoerr.From(interrupted(ctx, err))
		if e.Code == mongoerr.InterruptedDueToReplStateChange { // waiters are told so by the server
			return concernErrorDoc(mongoerr.PrimarySteppedDown, "Primary stepped down while waiting for replication"), nil
		}
		return concernErrorDoc(e.Code, e.Message), nil
	}
	return nil, nil
}

var errWaitedEnough = mongoerr.New(mongoerr.WriteConcernTimeout, "waiting for replication timed out")

// writesNothing reports whether op is an aggregate without $out and $merge.
func (op *operation) writesNothing() bool { return op.req.Name == "aggregate" && !op.writesResult() }

// members returns how many members a write concern asks for, and whether they are
// a majority, which they are by default.
func (op *operation) members(wc bson.Raw) (need int, majority bool, concernError bson.Raw) {
	all := op.node.set.size()
	w := wc.Lookup("w")
	name, isString := w.StringValueOK()
	n, isNumber := value.AsInt64(w)
	switch {
	case isString && name != "majority":
		return 0, false, concernErrorDoc(mongoerr.UnknownReplWriteConcern, "No write concern mode named '"+name+"' found in replica set configuration")
	case isString, w.Type == 0, w.Type == bson.TypeNull:
		return all/2 + 1, true, nil
	case !isNumber || n > int64(all): // members have no tags
		return 0, false, concernErrorDoc(mongoerr.UnsatisfiableWriteConcern, "Not enough data-bearing nodes")
	}
	return int(n), false, nil
}

// await returns when at least need members have everything of a line up to ts,
// and with committed set the majority commit point has come to it too.
func (s *ReplicaSet) await(ctx context.Context, l *line, ts bson.Timestamp, need int, committed bool) error {
	for {
		changed := s.progress.next()
		if s.have(l, ts) >= need && (!committed || !l.log.Majority().Before(ts)) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
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
