package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/shardferry/shardferry"
)

// maxBody bounds what one node sends another. Commands hold the plan of a
// migration at most.
const maxBody = 64 << 20

// neverSentError is the error of a connection that could not be made.
type neverSentError struct{ err error }

func (e *neverSentError) Error() string { return e.err.Error() }
func (e *neverSentError) Unwrap() error { return e.err }

// Answer makes an answer to what another node asks under a name. A failure that
// the asking node should understand belongs into the answer.
type Answer func(ctx context.Context, body []byte) ([]byte, error)

// Answers sets what is answered under a name. Call it before Run.
func (p *Port) Answers(name string, answer Answer) {
	p.mux.HandleFunc("POST /peer/"+name, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply, err := answer(r.Context(), body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(reply) // who asked may be gone
	})
}

// Handle passes requests under a path on. Call it before Run.
func (p *Port) Handle(pattern string, h http.Handler) { p.mux.Handle(pattern, h) }

// HTTP returns a client for what is handled on other nodes.
func (p *Port) HTTP() *http.Client { return p.http }

// Call asks the node at addr. An error that is shardferry.ErrOutcomeUnknown says
// that the node may have taken the request; any other, that it has not.
func (p *Port) Call(ctx context.Context, addr, name string, body []byte) (reply []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/peer/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	}
	resp, err := p.http.Do(req)
	var never *neverSentError
	switch {
	case errors.As(err, &never):
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w: %w", addr, shardferry.ErrOutcomeUnknown, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	reply, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w: %w", addr, shardferry.ErrOutcomeUnknown, err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("ask %s: it does not know %s: is it another version?", addr, name)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask %s: %w: status %d: %s", addr, shardferry.ErrOutcomeUnknown, resp.StatusCode, bytes.TrimSpace(reply))
	}
	return reply, nil
}
