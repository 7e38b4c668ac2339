package failpoint

import (
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Data is what configureFailPoint says a fail point shall do. Each fail point
// heeds its own fields.
type Data struct {
	FailCommands      []string `bson:"failCommands"`
	Namespace         string   `bson:"namespace"`
	AppName           string   `bson:"appName"`
	CloseConnection   *bool    `bson:"closeConnection"`
	ErrorCode         int32    `bson:"errorCode"`
	ErrorExtraInfo    bson.Raw `bson:"errorExtraInfo"`
	ErrorLabels       []string `bson:"errorLabels"` // nil lets the server choose
	BlockConnection   bool     `bson:"blockConnection"`
	BlockTimeMS       int64    `bson:"blockTimeMS"`
	WriteConcernError bson.Raw `bson:"writeConcernError"`

	FailBeforeCommitExceptionCode int32 `bson:"failBeforeCommitExceptionCode"`
}

// Names reports whether the fields that choose commands choose req.
func (d *Data) Names(req *command.Request) bool {
	return slices.Contains(d.FailCommands, req.Name) && d.concerns(req)
}

// concerns reports whether req is of the client and on the namespace that the
// fail point is about.
func (d *Data) concerns(req *command.Request) bool {
	if d.AppName != "" && d.AppName != req.Client.AppName {
		return false
	}
	return d.Namespace == "" || d.Namespace == req.NS()
}

// Closes reports whether the connection is to be closed.
func (d *Data) Closes() bool { return d.CloseConnection != nil && *d.CloseConnection }

// Block is how long the command is to be held up.
func (d *Data) Block() time.Duration {
	if !d.BlockConnection {
		return 0
	}
	return time.Duration(d.BlockTimeMS) * time.Millisecond
}

// Err is the error that failCommand answers with, nil if it does not.
func (d *Data) Err() *mongoerr.Error {
	if d.ErrorCode == 0 {
		return nil
	}
	e := mongoerr.New(mongoerr.Code(d.ErrorCode), "Failing command via 'failCommand' failpoint")
	for name, v := range value.Elements(d.ErrorExtraInfo) {
		e = e.WithInfo(name, v)
	}
	return e
}

// TakeBefore asks whether failCommand fires before req runs.
func (s *Set) TakeBefore(req *command.Request) (Data, bool) {
	return s.Take(Command, func(d Data) bool {
		return (d.Closes() || d.BlockConnection || d.ErrorCode != 0) && d.Names(req)
	})
}

// TakeConcern asks whether failCommand fires in the write concern of req, which
// has run.
func (s *Set) TakeConcern(req *command.Request) (Data, bool) {
	return s.Take(Command, func(d Data) bool { return d.WriteConcernError != nil && d.Names(req) })
}

// CheckGetMore fails req, a getMore whose cursor has been found, if the fail
// point for that fires.
func (s *Set) CheckGetMore(req *command.Request) error {
	d, ok := s.Take(GetMore, func(d Data) bool { return d.concerns(req) })
	if !ok {
		return nil
	}
	if d.Closes() {
		return command.ErrHangUp
	}
	return mongoerr.New(mongoerr.Code(d.ErrorCode), "Hit the 'failGetMoreAfterCursorCheckout' failpoint")
}

// TakeWrite asks whether the fail point for statements of retryable writes
// fires: whether the connection closes then, and which error undoes the
// statement, nil if it stays.
func (s *Set) TakeWrite() (hangUp bool, undo error) {
	d, ok := s.Take(RetryableWrite, func(Data) bool { return true })
	if !ok {
		return false, nil
	}
	if code := d.FailBeforeCommitExceptionCode; code != 0 {
		undo = mongoerr.New(mongoerr.Code(code), "Failing write due to failpoint. The write must not be reflected.")
	}
	return d.CloseConnection == nil || *d.CloseConnection, undo
}
