package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/verify"
)

// Client talks to a node.
type Client struct {
	addr   string
	access Access
	http   *http.Client
}

// Access is what a node may want to see of a client.
type Access struct {
	Token string
	TLS   *tls.Config // nil: plain HTTP, unless the address says https://

	// Key is sent as the Idempotency-Key of commands; empty: none.
	Key string

	// InTheClear allows a token to be sent without TLS to another machine.
	InTheClear bool
}

// NewClient returns a client of the node at addr, as host:port or URL.
func NewClient(addr string) *Client { return &Client{addr: addr, http: &http.Client{}} }

// With returns the same client with a token or certificates.
func (c *Client) With(a Access) *Client {
	d := *c
	d.access = a
	if a.TLS != nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = a.TLS
		t.ForceAttemptHTTP2 = false
		d.http = &http.Client{Transport: t}
	}
	return &d
}

// base returns the URL of the API. The address may hold no password, because it
// is in messages.
func (c *Client) base() (string, error) {
	addr := c.addr
	if !strings.Contains(addr, "://") {
		scheme := "http://"
		if c.access.TLS != nil {
			scheme = "https://"
		}
		addr = scheme + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" {
		return "", errors.New("the address of the node: want host:port or a URL")
	}
	if u.User != nil {
		return "", errors.New("the address of the node holds a user: give a token, by --token-file or SHARDFERRY_TOKEN")
	}
	if c.access.Token != "" && u.Scheme != "https" && !Loopback(u.Host) && !c.access.InTheClear {
		return "", fmt.Errorf("the token would go to %s in the clear: give https:// or --api-ca (or --insecure, if the network is safe)", u.Host)
	}
	return strings.TrimSuffix(addr, "/") + "/api/v1/", nil
}

// Start begins the sync for which the node was configured.
func (c *Client) Start(ctx context.Context, req StartRequest) error {
	return c.call(ctx, http.MethodPost, "start", req, nil)
}

// Resume lets a paused sync go on.
func (c *Client) Resume(ctx context.Context, req ResumeRequest) error {
	return c.call(ctx, http.MethodPost, "resume", req, nil)
}

// Command sends pause, resume, commit, reverse or rollback.
func (c *Client) Command(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, name, struct{}{}, nil)
}

// Progress asks where the sync stands.
func (c *Client) Progress(ctx context.Context) (Progress, error) {
	var resp ProgressResponse
	if err := c.call(ctx, http.MethodGet, "progress", nil, &resp); err != nil {
		return Progress{}, err
	}
	if resp.Progress == nil {
		return Progress{}, errors.New("the answer holds no progress: is this a shardferry node?")
	}
	return *resp.Progress, nil
}

// Verify compares the two clusters. It takes as long as reading both.
func (c *Client) Verify(ctx context.Context) (verify.Report, error) {
	var resp VerifyResponse
	if err := c.call(ctx, http.MethodGet, "verify", nil, &resp); err != nil {
		return verify.Report{}, err
	}
	if resp.Report == nil {
		return verify.Report{}, errors.New("the answer holds no report: is this a shardferry node?")
	}
	return *resp.Report, nil
}

// Audit asks for the commands at or after a time; the zero time asks for all.
func (c *Client) Audit(ctx context.Context, since time.Time) ([]AuditEntry, error) {
	path := "audit"
	if !since.IsZero() {
		path += "?since=" + url.QueryEscape(since.UTC().Format(time.RFC3339))
	}
	var resp AuditResponse
	err := c.call(ctx, http.MethodGet, path, nil, &resp)
	return resp.Audit, err
}

func (c *Client) call(ctx context.Context, method, path string, body, into any) (err error) {
	base, err := c.base()
	if err != nil {
		return err
	}
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return fmt.Errorf("encode %s: %w", path, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, &payload)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.access.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.access.Token)
	}
	if c.access.Key != "" && method == http.MethodPost {
		req.Header.Set(KeyHeader, c.access.Key)
	}
	resp, err := c.http.Do(req)
	if err != nil && method == http.MethodPost && sent(err) {
		return c.unknown(fmt.Errorf("%w: %s has taken it and not answered: ask for the progress, or send it again with the same %s: %w", shardferry.ErrOutcomeUnknown, base, KeyHeader, err))
	}
	if err != nil {
		return fmt.Errorf("no shardferry node answers at %s (is shardferry sync running? see --api-addr): %w", base, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if to, ok := into.(io.Writer); ok && resp.StatusCode == http.StatusOK {
		_, err := io.Copy(to, resp.Body)
		return err
	}
	if resp.StatusCode == http.StatusOK && into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			return fmt.Errorf("%s: the answer is not understood: %w", path, err)
		}
		return nil
	}
	var res Result
	if err := json.NewDecoder(resp.Body).Decode(&res); err != nil {
		return fmt.Errorf("%s: status %d and an answer that is not understood: %w", path, resp.StatusCode, err)
	}
	if !res.Success {
		return c.unknown(&Error{Status: resp.StatusCode, Name: res.Error, Text: res.Description})
	}
	return nil
}

// sent reports whether a request may have arrived although there was no answer.
func sent(err error) bool {
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	notThere := errors.As(err, &op) && (op.Op == "dial" || op.Op == "remote error") // of TLS: we are not let in
	return !notThere && !errors.As(err, &cert)
}

// unknown adds the key to an error that leaves open what has become of a command.
func (c *Client) unknown(err error) error {
	if c.access.Key != "" && errors.Is(err, shardferry.ErrOutcomeUnknown) {
		return fmt.Errorf("%w (its key: %s)", err, c.access.Key)
	}
	return err
}
