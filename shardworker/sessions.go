package shardworker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// FirstNumber is where the numbers of a session's writes begin. The session may
// come from the driver's pool, where retryable writes of others have counted it
// up from one: a number used before would be taken for a retry and do nothing.
// Nobody else gets so far, so that our writes can be told from those of others.
const FirstNumber = 1 << 40

// closingNumbers are those that close sessions. No worker writes that often.
const (
	closingNumbers  = 1 << 50
	closingAttempts = 1 << 12 // of one epoch: more than fit into the time in which it is tried
)

// ClosingNumber returns the number with which the worker of an epoch closes the
// sessions of earlier ones. Each attempt has its own, above all before it: what an
// earlier one has begun, and has not heard of, stands in the way of its number.
func ClosingNumber(epoch uint64, attempt int) int64 {
	return closingNumbers + int64(epoch)*closingAttempts + int64(attempt)
}

// A runner sends one command to the destination. It returns the reply also
// where it reports failed statements; an error means there is no such reply. One
// writer owns it and calls it from one goroutine.
type runner interface {
	run(ctx context.Context, db string, cmd bson.Raw) (bson.Raw, error)
}

// A sessionRunner sends commands in a session of its own, without a transaction.
type sessionRunner struct {
	client  *mongo.Client
	session *mongo.Session
}

func newSessionRunner(client *mongo.Client) (*sessionRunner, error) {
	s, err := client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return nil, fmt.Errorf("start a session on the destination: %w", err)
	}
	return &sessionRunner{client: client, session: s}, nil
}

func (r *sessionRunner) run(ctx context.Context, db string, cmd bson.Raw) (bson.Raw, error) {
	reply, err := r.client.Database(db).RunCommand(mongo.NewSessionContext(ctx, r.session), cmd).Raw()
	var statements mongo.WriteException
	if errors.As(err, &statements) && len(reply) > 0 {
		return reply, nil
	}
	return reply, err
}

// A writer sends retryable writes one after the other. Each has a number of its
// own in the session and keeps it when it is sent again, so that the server
// applies it once (server: retryable writes), never after a later one.
type writer struct {
	to      runner
	lease   *lease
	timeout time.Duration // of one attempt, here and on the server
	again   mongoconn.Retrier
	number  int64 // of the last write
}

// write completes cmd, an open document that lacks write concern and number,
// and sends it until it is acknowledged by a majority. It returns statement
// errors as part of the result and fails only where sending again cannot help.
func (w *writer) write(ctx context.Context, db string, cmd []byte, start int32) (writeResult, error) {
	w.number++
	cmd = bsoncore.AppendDocumentElement(cmd, "writeConcern", build(func(dst []byte) []byte {
		return bsoncore.AppendStringElement(dst, "w", "majority")
	}))
	cmd = bsoncore.AppendInt64Element(cmd, "txnNumber", w.number)
	cmd = closeDocument(cmd, start)
	var res writeResult
	err := w.again.Do(ctx, "write to the destination", func(ctx context.Context) error {
		if err := w.lease.wait(ctx); err != nil {
			return err
		}
		// The driver sends what is left until the deadline as maxTimeMS.
		attempt, cancel := context.WithTimeout(ctx, w.timeout)
		defer cancel()
		shardferry.Reached(ctx, shardferry.WriteToBeSent)
		reply, err := w.to.run(attempt, db, cmd)
		if mongoconn.IsCode(err, mongoconn.CodeTransactionTooOld) {
			return errClosed
		}
		if err != nil {
			return err
		}
		shardferry.Reached(ctx, shardferry.WriteAnswered)
		res = parseWriteResult(reply)
		return res.unfinished()
	})
	return res, err
}

// errClosed reports that a successor has closed the session (mongoconn.Closer):
// nothing but that uses a higher number in it.
var errClosed = fmt.Errorf("the session is closed, another worker has the shard: %w", shardferry.ErrStaleEpoch)

// A writeResult is the reply to a write command.
type writeResult struct {
	n            int64 // documents matched, inserted, upserted or deleted
	errors       []statementError
	concernError *mongo.CommandError
}

type statementError struct {
	index      int
	code       int32
	message    string
	keyPattern bson.Raw // of a duplicate key
	keyValue   bson.Raw
	collation  bson.Raw // of its index, if that is not simple
}

func (e statementError) Error() string { return fmt.Sprintf("(%d) %s", e.code, e.message) }

func parseWriteResult(reply bson.Raw) writeResult {
	var res writeResult
	res.n, _ = reply.Lookup("n").AsInt64OK()
	failed, _ := reply.Lookup("writeErrors").ArrayOK()
	eachField(bson.Raw(failed), func(_ string, v bson.RawValue) {
		doc, _ := v.DocumentOK()
		index, _ := doc.Lookup("index").AsInt64OK()
		code, _ := doc.Lookup("code").AsInt64OK()
		e := statementError{index: int(index), code: int32(code)}
		e.message, _ = doc.Lookup("errmsg").StringValueOK()
		e.keyPattern, _ = doc.Lookup("keyPattern").DocumentOK()
		e.keyValue, _ = doc.Lookup("keyValue").DocumentOK()
		e.collation, _ = doc.Lookup("collation").DocumentOK()
		res.errors = append(res.errors, e)
	})
	if wce, ok := reply.Lookup("writeConcernError").DocumentOK(); ok {
		code, _ := wce.Lookup("code").AsInt64OK()
		message, _ := wce.Lookup("errmsg").StringValueOK()
		res.concernError = &mongo.CommandError{Code: int32(code), Message: "write concern: " + message}
	}
	return res
}

// unfinished returns the error for which the same command, with the same number,
// is to be sent again: statements done are not done twice.
func (r writeResult) unfinished() error {
	if r.concernError != nil {
		return *r.concernError
	}
	for _, e := range r.errors {
		if e.code == mongoconn.CodeTransactionTooOld { // routers tell it for each statement
			return errClosed
		}
		if mongoconn.ClassOfCode(int(e.code)) == mongoconn.Transient {
			return mongo.CommandError{Code: e.code, Message: e.message}
		}
	}
	return nil
}
