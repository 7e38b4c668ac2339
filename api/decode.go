package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	maxBody  = 1 << 20 // bytes of a request
	maxDepth = 32      // objects and lists inside each other; a start request has 5
)

// decode reads a JSON object. An empty body counts as {}.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, large.Limit)
	}
	if err != nil {
		return fmt.Errorf("%w: the body cannot be read: %w", ErrBadRequest, err)
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil
	}
	if err := wellFormed(b); err != nil {
		return fmt.Errorf("%w: the body: %w", ErrBadRequest, err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return fmt.Errorf("%w: the field %s: a JSON %s does not fit there", ErrBadRequest, typ.Field, typ.Value)
		}
		return fmt.Errorf("%w: the body: %s", ErrBadRequest, shorten(err.Error()))
	}
	return nil
}

// wellFormed returns why a body is not one JSON object that means the same to
// every reader: of a name that stands there twice each takes another value.
func wellFormed(b []byte) error {
	if b[0] != '{' {
		return errors.New("want a JSON object")
	}
	if !utf8.Valid(b) {
		return errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := scan(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the JSON object")
	}
	return nil
}

// scan reads one value.
func scan(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	delim, nested := tok.(json.Delim)
	if err != nil || !nested {
		return err
	}
	if depth >= maxDepth {
		return fmt.Errorf("more than %d levels of objects and lists", maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			tok, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ := tok.(string)
			folded := strings.ToLower(name) // as encoding/json finds a field
			if seen[folded] {
				return fmt.Errorf("the field %q stands there twice", shorten(name))
			}
			seen[folded] = true
		}
		if err := scan(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err = dec.Token(); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// shorten cuts what a client has sent, for an answer.
func shorten(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
