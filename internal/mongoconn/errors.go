package mongoconn

import (
	"context"
	"errors"
	"io"
	"net"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Class says what an error means for whoever sent the operation.
type Class int

// The classes of an error.
const (
	None      Class = iota // there is no error
	Transient              // send the same operation again, after a pause
	Permanent              // sending it again cannot help
)

// Classify returns the class of an error that an operation of the driver
// returned. Unknown errors are permanent. A cancelled context is permanent for
// its owner: it asked to stop.
func Classify(err error) Class {
	switch {
	case err == nil:
		return None
	case errors.Is(err, context.Canceled):
		return Permanent
	case IsNetwork(err):
		return Transient
	}
	var se mongo.ServerError
	if !errors.As(err, &se) {
		return Permanent
	}
	for _, label := range []string{"RetryableWriteError", "TransientTransactionError", "ResumableChangeStreamError", "SystemOverloadedError"} {
		if se.HasErrorLabel(label) {
			return Transient
		}
	}
	for _, code := range se.ErrorCodes() {
		if transient[code] {
			return Transient
		}
	}
	return Permanent
}

// TransientCode reports whether a statement that failed with code may be sent
// again as it is. It serves replies that are read raw.
func TransientCode(code int32) bool { return transient[int(code)] }

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
