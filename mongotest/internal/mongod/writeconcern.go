package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// waitForWriteConcern returns the writeConcernError of op's reply, nil if the
// concern is met. Every write is at once on all members there are, so a
// concern is met or cannot be.
func (op *operation) waitForWriteConcern() (bson.Raw, error) {
	if !op.handler.has(isWrite) || op.txn != nil {
		return nil, nil
	}
	a := op.args()
	wc := a.doc("writeConcern")
	if a.err != nil || wc == nil {
		return nil, a.err
	}
	w := wc.Lookup("w")
	if name, ok := w.StringValueOK(); ok {
		if name == "majority" {
			return nil, nil
		}
		return concernErrorDoc(mongoerr.UnknownReplWriteConcern, "No write concern mode named '"+name+"' found in replica set configuration"), nil
	}
	n, isNumber := value.AsInt64(w)
	switch {
	case w.Type == 0 || w.Type == bson.TypeNull:
		return nil, nil
	case !isNumber || n > int64(len(op.node.set.hosts())): // members have no tags
		return concernErrorDoc(mongoerr.UnsatisfiableWriteConcern, "Not enough data-bearing nodes"), nil
	default:
		return nil, nil
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
