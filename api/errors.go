package api

import "errors"

// Errors that a Controller returns and a client can tell apart. They carry
// their name over HTTP.
var (
	// ErrBadRequest reports a field that is missing or wrong. Nothing was done.
	ErrBadRequest = errors.New("bad request")

	// ErrNotYet reports a command that will be possible later. Nothing was done.
	ErrNotYet = errors.New("not yet")
)
