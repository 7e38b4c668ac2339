package mongoconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// labels are those by which a server, or the driver, says that the same operation
// may be sent again.
var labels = []string{
	"RetryableWriteError", "TransientTransactionError", "ResumableChangeStreamError",
	"SystemOverloadedError", "RetryableError",
}

// ErrPasses is in errors of our own that pass by themselves.
var ErrPasses = errors.New("this passes by itself")

// Classify returns the class of an error that an operation of the driver
// returned. A cancelled context is permanent for its owner: it asked to stop. So
// is what has been tried for long enough already.
func Classify(err error) Class {
	switch {
	case err == nil:
		return None
	case errors.Is(err, context.Canceled), errors.Is(err, ErrGaveUp):
		return Permanent
	case errors.Is(err, ErrPasses):
		return Transient
	}
	var ce mongo.CommandError
	var we mongo.WriteException
	var be mongo.BulkWriteException
	var se mongo.ServerError
	switch {
	case errors.As(err, &ce):
		return classOfCommand(err, ce)
	case errors.As(err, &we):
		return classOfStatements(we, we.WriteErrors, we.WriteConcernError)
	case errors.As(err, &be):
		var errs []mongo.WriteError
		for _, e := range be.WriteErrors {
			errs = append(errs, e.WriteError)
		}
		return classOfStatements(be, errs, be.WriteConcernError)
	case IsNetwork(err):
		return Transient
	case errors.As(err, &se) && hasLabel(se):
		return Transient
	}
	return Permanent
}

func hasLabel(err mongo.ServerError) bool {
	for _, l := range labels {
		if err.HasErrorLabel(l) {
			return true
		}
	}
	return false
}

// classOfCommand classifies a command that failed as a whole. The driver makes
// network errors and time limits of its own look like one without a code.
func classOfCommand(err error, ce mongo.CommandError) Class {
	switch {
	case hasLabel(ce):
		return Transient
	case ce.Code == 0 && IsNetwork(err):
		return Transient
	}
	return ClassOfCode(int(ce.Code))
}

// classOfStatements classifies a reply with failed statements. They come before
// the write concern error: sending them again would not help that one only. The
// reply's labels speak of the write concern error; no statement error is made
// retriable by one.
func classOfStatements(err mongo.ServerError, failed []mongo.WriteError, concern *mongo.WriteConcernError) Class {
	worst := None
	for _, e := range failed {
		worst = max(worst, ClassOfCode(e.Code))
	}
	switch {
	case worst != None:
		return worst
	case hasLabel(err):
		return Transient
	case concern != nil:
		return ClassOfCode(concern.Code)
	}
	return Doubtful
}

// IsCode reports whether err is a server error that carries one of the codes,
// at the top level, in a write error or in a write concern error.
func IsCode(err error, codes ...int) bool {
	var se mongo.ServerError
	if !errors.As(err, &se) {
		return false
	}
	for _, c := range codes {
		if se.HasErrorCode(c) {
			return true
		}
	}
	return false
}

// Reason says in a few words why an operation does not get through, for whoever
// looks at the progress.
func Reason(err error) string {
	var se mongo.ServerError
	if errors.As(err, &se) {
		for _, code := range se.ErrorCodes() {
			switch {
			case code == CodeOutOfDiskSpace:
				return "no space is left on its disk (OutOfDiskSpace)"
			case CodeName(code) != "":
				return fmt.Sprintf("%s (%d)", CodeName(code), code)
			case code != 0:
				return fmt.Sprintf("error %d", code)
			}
		}
	}
	if IsNetwork(err) {
		return "it cannot be reached or does not answer in time"
	}
	return err.Error()
}

// IsNetwork reports whether err means that the connection failed or no server
// could be selected in time: the outcome of the operation is unknown.
func IsNetwork(err error) bool {
	if err == nil {
		return false
	}
	// The driver's pool says so of an operation that it did not even send,
	// because another one's connection had failed.
	var pool interface{ Retryable() bool }
	if errors.As(err, &pool) && pool.Retryable() {
		return true
	}
	var ne net.Error
	return mongo.IsNetworkError(err) || mongo.IsTimeout(err) ||
		errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, context.DeadlineExceeded)
}
