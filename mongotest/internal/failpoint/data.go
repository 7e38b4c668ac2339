package failpoint

import (
	"slices"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Data is what configureFailPoint says a fail point shall do. Each fail point
// heeds its own fields. The server looks at them only when the fail point might
// fire, and passes over those of another type; so does this.
type Data struct {
	commands   []string // failCommands
	all        bool     // failAllCommands
	internal   bool     // failInternalCommands
	namespace  *string
	app        *string // appName
	thread     *string // threadName
	closes     bool    // closeConnection
	keepsOpen  bool    // closeConnection: false was said
	blocks     bool    // blockConnection
	blockFor   *int64  // blockTimeMS
	code       *int64  // errorCode
	extra      bson.Raw
	labels     []string // nil lets the server choose
	concern    bson.Raw // writeConcernError
	beforeCode int64    // failBeforeCommitExceptionCode
}

func parseData(doc bson.Raw) Data {
	var d Data
	text := func(name string) *string {
		if s, ok := doc.Lookup(name).StringValueOK(); ok {
			return &s
		}
		return nil
	}
	number := func(name string) *int64 {
		if n, ok := value.AsInt64(doc.Lookup(name)); ok {
			return &n
		}
		return nil
	}
	said := func(name string) (is, known bool) { return doc.Lookup(name).BooleanOK() }
	d.commands, d.labels = texts(doc, "failCommands"), texts(doc, "errorLabels")
	d.all = doc.Lookup("failAllCommands").Type != 0
	d.internal, _ = said("failInternalCommands")
	d.namespace, d.app, d.thread = text("namespace"), text("appName"), text("threadName")
	closes, known := said("closeConnection")
	d.closes, d.keepsOpen = closes, known && !closes
	d.blocks, _ = said("blockConnection")
	d.blockFor, d.code = number("blockTimeMS"), number("errorCode")
	d.extra, _ = doc.Lookup("errorExtraInfo").DocumentOK()
	d.concern, _ = doc.Lookup("writeConcernError").DocumentOK()
	if n := number("failBeforeCommitExceptionCode"); n != nil {
		d.beforeCode = *n
	}
	return d
}

// texts returns the strings of an array; nil if there is no array.
func texts(doc bson.Raw, name string) []string {
	arr, ok := doc.Lookup(name).ArrayOK()
	if !ok {
		return nil
	}
	out := []string{}
	for _, v := range value.Elements(bson.Raw(arr)) {
		if s, ok := v.StringValueOK(); ok {
			out = append(out, s)
		}
	}
	return out
}

// aliases are the other names of commands: failCommand takes any of them.
var aliases = map[string]string{
	"isMaster": "hello", "ismaster": "hello", "findandmodify": "findAndModify", "buildinfo": "buildInfo",
	"collstats": "collStats", "dbstats": "dbStats", "mapreduce": "mapReduce", "deleteIndexes": "dropIndexes",
}

// sameCommand reports whether a command answers to both names. hello is one of
// its own: isMaster and ismaster are another.
func sameCommand(a, b string) bool {
	ca, aIs := aliases[a]
	cb, bIs := aliases[b]
	switch {
	case a == b:
		return true
	case ca == "hello" || cb == "hello":
		return ca == cb
	case aIs && bIs:
		return ca == cb
	case aIs:
		return ca == b
	}
	return bIs && cb == a
}

// Names reports whether the fields that choose commands choose req.
func (d *Data) Names(req *command.Request) bool {
	if req.Name == "configureFailPoint" || req.Routed != nil && !d.internal {
		return false
	}
	named := d.all || slices.ContainsFunc(d.commands, func(name string) bool { return sameCommand(name, req.Name) })
	return named && d.concerns(req)
}

// concerns reports whether req is of the client and on the namespace that the
// fail point is about.
func (d *Data) concerns(req *command.Request) bool {
	switch {
	case d.app != nil && *d.app != req.Client.AppName:
		return false
	case d.thread != nil && *d.thread != "conn"+strconv.FormatInt(req.Client.ID, 10):
		return false
	}
	return d.namespace == nil || *d.namespace == target(req)
}

// target is the namespace that a command is on.
func target(req *command.Request) string {
	if req.Name == "getMore" {
		coll, _ := req.Body.Lookup("collection").StringValueOK()
		return req.DB + "." + coll
	}
	if coll := req.Collection(); coll != "" {
		return req.DB + "." + coll
	}
	return req.DB
}

// Closes reports whether the connection is to be closed.
func (d *Data) Closes() bool { return d.closes }

// Block is how long the command is to be held up.
func (d *Data) Block() time.Duration {
	if !d.blocks || d.blockFor == nil {
		return 0
	}
	return time.Duration(*d.blockFor) * time.Millisecond
}

// Labels are the labels of the error, nil if the server chooses them.
func (d *Data) Labels() []string { return d.labels }

// Concern is the writeConcernError that failCommand adds.
func (d *Data) Concern() bson.Raw { return d.concern }

// Err is the error that failCommand answers with, nil if it does not.
func (d *Data) Err() *mongoerr.Error {
	switch {
	case d.blocks && d.blockFor == nil:
		return mongoerr.New(mongoerr.InvalidOptions, "must specify 'blockTimeMS' when 'blockConnection' is true")
	case d.blocks && *d.blockFor < 0:
		return mongoerr.New(mongoerr.InvalidOptions, "'blockTimeMS' must be non-negative")
	case d.code == nil || *d.code == 0:
		return nil
	}
	e := mongoerr.New(mongoerr.Code(*d.code), "Failing command via 'failCommand' failpoint")
	for name, v := range value.Elements(d.extra) {
		e = e.WithInfo(name, v)
	}
	return e
}

// TakeBefore asks whether failCommand fires before req runs.
func (s *Set) TakeBefore(req *command.Request) (Data, bool) {
	return s.Take(Command, func(d Data) bool { return (d.closes || d.blocks || d.code != nil) && d.Names(req) })
}

// TakeConcern asks whether failCommand fires in the write concern of req, which
// has run.
func (s *Set) TakeConcern(req *command.Request) (Data, bool) {
	return s.Take(Command, func(d Data) bool { return d.concern != nil && d.Names(req) })
}

// CheckGetMore fails req, a getMore whose cursor has been found, if the fail
// point for that fires.
func (s *Set) CheckGetMore(req *command.Request) error {
	d, ok := s.Take(GetMore, func(d Data) bool { return d.concerns(req) })
	if !ok {
		return nil
	}
	if d.closes {
		return command.ErrHangUp
	}
	var code int64
	if d.code != nil {
		code = *d.code
	}
	return mongoerr.New(mongoerr.Code(code), "Hit the 'failGetMoreAfterCursorCheckout' failpoint")
}

// TakeWrite asks whether the fail point for statements of retryable writes
// fires: whether the connection closes then, and which error undoes the
// statement, nil if it stays.
func (s *Set) TakeWrite() (hangUp bool, undo error) {
	d, ok := s.Take(RetryableWrite, func(Data) bool { return true })
	if !ok {
		return false, nil
	}
	if d.beforeCode != 0 {
		undo = mongoerr.New(mongoerr.Code(d.beforeCode), "Failing write due to failpoint. The write must not be reflected.")
	}
	return !d.keepsOpen, undo
}

// CheckStatement fails a statement that inserts, updates or removes, if the fail
// point for all of its kind is on.
func (s *Set) CheckStatement(kind Name) error {
	if !s.Fires(kind) {
		return nil
	}
	return mongoerr.New(mongoerr.InternalError, "%s failpoint active!", kind)
}

// CheckTimeLimit fails a command with a maxTimeMS if the fail point for that is
// on.
func (s *Set) CheckTimeLimit(req *command.Request) error {
	if !s.On(TimeOut) {
		return nil
	}
	if ms, _ := value.AsInt64(req.Body.Lookup("maxTimeMS")); ms <= 0 || !s.Fires(TimeOut) {
		return nil
	}
	return mongoerr.New(mongoerr.MaxTimeMSExpired, "operation exceeded time limit")
}
