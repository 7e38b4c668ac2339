package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/shardferry/shardferry/verify"
)

// Client talks to a node.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of the node at addr, as host:port or URL.
func NewClient(addr string) *Client {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	return &Client{base: strings.TrimSuffix(addr, "/") + "/api/v1/", http: &http.Client{}}
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

func (c *Client) call(ctx context.Context, method, path string, body, into any) (err error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return fmt.Errorf("encode %s: %w", path, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, &payload)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no shardferry node answers at %s (is shardferry sync running? see --api-addr): %w", c.base, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
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
		return &Error{Status: resp.StatusCode, Name: res.Error, Text: res.Description}
	}
	return nil
}
