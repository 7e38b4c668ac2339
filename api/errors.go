package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/shardferry/shardferry"
)

// Errors that a Controller returns and a client can tell apart, beside those of
// the root package. They carry their name over HTTP.
var (
	// ErrBadRequest reports a field that is missing or wrong. Nothing was done.
	ErrBadRequest = errors.New("bad request")

	// ErrNotYet reports a command that will be possible later. Nothing was done.
	ErrNotYet = errors.New("not yet")

	// ErrRefused reports a sync that cannot start between these two clusters.
	// Nothing was changed on either of them.
	ErrRefused = errors.New("the sync cannot start; nothing was changed")

	// ErrNotStarted reports a question about a sync that does not exist.
	ErrNotStarted = errors.New("no sync was started: run shardferry start")

	// ErrInvalidState reports a command that the current state does not allow.
	ErrInvalidState = errors.New("the current state does not allow it")

	// ErrUnauthorized reports a request without a token that is good now.
	ErrUnauthorized = errors.New("not authenticated")

	// ErrForbidden reports a token whose role does not go that far, and a request
	// that a web page of somebody else has a browser make.
	ErrForbidden = errors.New("not allowed")

	// ErrTooMany reports a client that asks too often. Nothing was done.
	ErrTooMany = errors.New("too many requests")

	// ErrTooLarge reports a body beyond the limit. Nothing was done.
	ErrTooLarge = errors.New("the body is too large")

	// ErrKeyReused reports an Idempotency-Key that came with another command or
	// other fields before. Nothing was done.
	ErrKeyReused = errors.New("the Idempotency-Key was used for something else")
)

// wire lists how errors travel. The first that matches names an error.
var wire = []struct {
	err    error
	name   string
	status int
}{
	{ErrBadRequest, "BadRequest", http.StatusBadRequest},
	{ErrNotYet, "NotYet", http.StatusConflict},
	{ErrRefused, "Refused", http.StatusConflict},
	{ErrNotStarted, "NotStarted", http.StatusConflict},
	{ErrInvalidState, "InvalidState", http.StatusConflict},
	{ErrUnauthorized, "Unauthorized", http.StatusUnauthorized},
	{ErrForbidden, "Forbidden", http.StatusForbidden},
	{ErrTooMany, "TooMany", http.StatusTooManyRequests},
	{ErrTooLarge, "TooLarge", http.StatusRequestEntityTooLarge},
	{ErrKeyReused, "KeyReused", http.StatusUnprocessableEntity},
	{shardferry.ErrNotLeader, "NotLeader", http.StatusServiceUnavailable},
	{shardferry.ErrOutcomeUnknown, "OutcomeUnknown", http.StatusGatewayTimeout},
}

// Of a command: whether it was done. That it is accepted means that it is
// recorded, not that what it begins has ended.
const (
	OutcomeAccepted = "accepted"
	OutcomeRefused  = "refused" // nothing was done
	OutcomeUnknown  = "unknown" // ask for the progress, or send it again with the same Idempotency-Key
)

// Describe returns the name by which an error travels, and its text.
func Describe(err error) (name, text string) {
	_, r := encodeError(err)
	return r.Error, r.Description
}

// encodeError returns the status and the body for an error.
func encodeError(err error) (int, Result) {
	var named *Error
	if errors.As(err, &named) {
		status := http.StatusInternalServerError
		for _, w := range wire {
			if w.name == named.Name {
				status = w.status
			}
		}
		return status, Result{Error: named.Name, Description: named.Text}
	}
	var se *shardferry.StateError
	if errors.As(err, &se) {
		return http.StatusConflict, Result{Error: "InvalidState", Description: err.Error()}
	}
	for _, w := range wire {
		if errors.Is(err, w.err) {
			return w.status, Result{Error: w.name, Description: err.Error()}
		}
	}
	return http.StatusInternalServerError, Result{Error: "Failed", Description: err.Error()}
}

// An Error is an answer of a server that did not do what it was asked. A
// Controller returns one for an answer that was given before.
type Error struct {
	Status int
	Name   string
	Text   string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Text, e.Name) }

// Is makes errors.Is find the error that the server named.
func (e *Error) Is(target error) bool {
	for _, w := range wire {
		if w.err == target {
			return w.name == e.Name
		}
	}
	return false
}
