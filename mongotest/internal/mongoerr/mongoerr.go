// Package mongoerr holds the errors a MongoDB server answers with: a code, its
// name, a message and labels. Commands return them; the wire layer renders them.
package mongoerr

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Code is a MongoDB error code.
type Code int32

// Error is a server error. It becomes {ok: 0, code, codeName, errmsg,
// errorLabels} at the top level of a reply, or an element of writeErrors.
type Error struct {
	Code    Code
	Message string
	Labels  []string
	Info    bson.D // further fields of the reply, such as keyPattern and keyValue
}

// New returns an Error whose message is formatted like fmt.Sprintf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%d): %s", CodeName(e.Code), e.Code, e.Message)
}

// WithLabel returns a copy of e that carries label too.
func (e *Error) WithLabel(label string) *Error {
	c := *e
	c.Labels = append(append([]string(nil), e.Labels...), label)
	return &c
}

// WithInfo returns a copy of e with one more reply field.
func (e *Error) WithInfo(key string, value any) *Error {
	c := *e
	c.Info = append(append(bson.D(nil), e.Info...), bson.E{Key: key, Value: value})
	return &c
}

// From returns err as an Error. An error that is none becomes InternalError,
// so that nothing leaves the server without a code.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(InternalError, "%v", err)
}

// Is reports whether err is an Error with the given code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// CodeName returns the server's name of a code, or "Location<code>" for the
// codes that have none.
func CodeName(c Code) string {
	if n, ok := names[c]; ok {
		return n
	}
	return fmt.Sprintf("Location%d", c)
}
