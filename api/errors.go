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
	{shardferry.ErrNotLeader, "NotLeader", http.StatusServiceUnavailable},
	{shardferry.ErrOutcomeUnknown, "OutcomeUnknown", http.StatusServiceUnavailable},
}

// encodeError returns the status and the body for an error.
func encodeError(err error) (int, Result) {
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

// An Error is an answer of a server that did not do what it was asked.
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
