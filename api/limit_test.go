package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/verify"
)

// call lets a handler answer one request from an address.
func call(h http.Handler, from, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/api/v1/progress", nil)
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOneClientDoesNotStarveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t)
		cfg := k.config(&fixed{})
		cfg.Rate = 5
		h := api.NewServer(cfg).Handler()
		vera, otto := k.of["vera"], k.of["otto"]
		for range 10 { // twice the rate in one moment
			require.Equal(t, http.StatusOK, call(h, "10.0.0.1:1", vera).Code)
		}
		for range 50 {
			refused := call(h, "10.0.0.2:9", vera) // her token, wherever it is
			require.Equal(t, http.StatusTooManyRequests, refused.Code)
			assert.Equal(t, "1", refused.Header().Get("Retry-After"))
			assert.Contains(t, refused.Body.String(), `"error":"TooMany"`)
		}
		assert.Equal(t, 1, strings.Count(k.log.String(), "too many requests"), "the log is not flooded")
		assert.Equal(t, http.StatusOK, call(h, "10.0.0.1:1", otto).Code)
		time.Sleep(time.Second)
		for range 5 {
			require.Equal(t, http.StatusOK, call(h, "10.0.0.1:1", vera).Code)
		}
		require.Equal(t, http.StatusTooManyRequests, call(h, "10.0.0.1:1", vera).Code)
	})
}

// Guessing is slow, and it does not lock out who has a token.
func TestGuessersAreLimitedByTheirAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t)
		cfg := k.config(&fixed{})
		cfg.Rate = 5
		h := api.NewServer(cfg).Handler()
		for i := range 100 {
			want := http.StatusUnauthorized
			if i >= 10 {
				want = http.StatusTooManyRequests
			}
			require.Equal(t, want, call(h, fmt.Sprintf("[2001:db8::%x]:1", i), fmt.Sprint("guess", i)).Code)
		}
		assert.Equal(t, http.StatusUnauthorized, call(h, "[2001:db8:0:1::1]:1", "").Code, "another network")
		assert.Equal(t, http.StatusOK, call(h, "[2001:db8::1]:1", k.of["vera"]).Code)
	})
}

// However many addresses there are, what is kept of them has a limit.
func TestManyAddressesShareWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := api.NewServer(api.Config{Controller: &fixed{}, Rate: 0.5}).Handler()
		limited := 0
		for i := range 5000 {
			if call(h, fmt.Sprintf("10.0.%d.%d:1", i/250, i%250), "").Code == http.StatusTooManyRequests {
				limited++
			}
		}
		assert.Equal(t, 5000-4095-2, limited)
		time.Sleep(time.Minute)
		assert.Equal(t, http.StatusOK, call(h, "10.9.9.9:1", "").Code, "those of before are forgotten")
	})
}

func TestNoLimitIsALimitToo(t *testing.T) {
	h := api.NewServer(api.Config{Controller: &fixed{}, Rate: -1}).Handler()
	for range 2000 {
		require.Equal(t, http.StatusOK, call(h, "10.0.0.1:1", "").Code)
	}
}

// A slow controller compares until it is let go.
type slow struct {
	fixed

	begun chan struct{}
	end   chan struct{}
}

func (s *slow) Verify(context.Context) (verify.Report, error) {
	s.begun <- struct{}{}
	<-s.end
	return verify.Report{}, nil
}

func TestOnlyAFewComparisonsAtATime(t *testing.T) {
	ctl := &slow{begun: make(chan struct{}), end: make(chan struct{})}
	c, url := serve(t, ctl)
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := c.Verify(t.Context())
			done <- err
		}()
		<-ctl.begun
	}
	status, header := ask(t, http.MethodGet, url+"/api/v1/verify", nil)
	assert.Equal(t, http.StatusTooManyRequests, status)
	assert.NotEmpty(t, header.Get("Retry-After"))
	close(ctl.end)
	for range 2 {
		require.NoError(t, <-done)
	}
}

func TestKeysOfCommands(t *testing.T) {
	ctl := &fixed{}
	c, url := serve(t, ctl)
	require.NoError(t, c.With(api.Access{Key: "k1"}).Command(t.Context(), "pause"))
	require.NoError(t, c.With(api.Access{Key: "k2"}).Resume(t.Context(), api.ResumeRequest{RecopyLost: true}))
	require.NoError(t, c.Command(t.Context(), "pause"))
	for _, body := range []string{`{"recopyLost":true}`, "{ \"recopyLost\" :\n true}", "{}", "", `{"recopyLost":false}`} {
		status, _ := post(t, url+"/api/v1/resume", body, nil)
		require.Equal(t, http.StatusOK, status)
	}
	var with []string
	for _, r := range ctl.asked {
		with = append(with, r.Command+" "+r.Key+" "+r.With)
	}
	const recopy = `resume  {"recopyLost":true}`
	assert.Equal(t, []string{"pause k1 ", `resume k2 {"recopyLost":true}`, "pause  ", recopy, recopy, "resume  ", "resume  ", "resume  "}, with, "what means the same is the same")

	asked := len(ctl.asked)
	for _, values := range [][]string{{""}, {"a b"}, {"a\tb"}, {"ä"}, {strings.Repeat("k", 129)}, {"a", "b"}} {
		status, answer := post(t, url+"/api/v1/pause", "", http.Header{"Idempotency-Key": values})
		assert.Equal(t, http.StatusBadRequest, status, "%q", values)
		assert.Contains(t, answer.Description, "Idempotency-Key")
	}
	assert.Len(t, ctl.asked, asked)
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		err     error
		status  int
		outcome string
	}{
		{nil, http.StatusOK, "accepted"},
		{fmt.Errorf("%w: lag", api.ErrNotYet), http.StatusConflict, "refused"},
		{&shardferry.StateError{Command: "pause", State: shardferry.StateIdle}, http.StatusConflict, "refused"},
		{&api.Error{Name: "NotYet", Text: "as before"}, http.StatusConflict, "refused"},
		{fmt.Errorf("%w: x", api.ErrKeyReused), http.StatusUnprocessableEntity, "refused"},
		{shardferry.ErrNotLeader, http.StatusServiceUnavailable, "refused"},
		{errors.New("broken"), http.StatusInternalServerError, "refused"},
		{fmt.Errorf("propose: %w", shardferry.ErrOutcomeUnknown), http.StatusGatewayTimeout, "unknown"},
		{context.DeadlineExceeded, http.StatusGatewayTimeout, "unknown"},
	} {
		_, url := serve(t, &fixed{err: tt.err})
		status, answer := post(t, url+"/api/v1/commit", "", nil)
		assert.Equal(t, tt.status, status, "%v", tt.err)
		assert.Equal(t, tt.outcome, answer.Outcome)
		assert.Equal(t, tt.err == nil, answer.Success)
		if tt.outcome == "unknown" {
			assert.Contains(t, answer.Description, "ask for the progress, or send it again with the same Idempotency-Key")
		}
	}
}

// An answer that gets lost does not mean that nothing was done.
func TestALostAnswerIsUnknown(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	c := api.NewClient(srv.URL).With(api.Access{Key: "k7"})
	err := c.Command(t.Context(), "commit")
	require.ErrorIs(t, err, shardferry.ErrOutcomeUnknown)
	require.ErrorContains(t, err, "k7")
	_, err = c.Progress(t.Context())
	require.NotErrorIs(t, err, shardferry.ErrOutcomeUnknown)
	srv.Close()
	require.NotErrorIs(t, c.Command(t.Context(), "commit"), shardferry.ErrOutcomeUnknown, "nobody was there")
}

// A faulty controller panics with what it was given.
type faulty struct{ fixed }

func (*faulty) Pause(context.Context, string) error { panic("lost my head over sfy_c4n4ry") }

func TestAPanicEndsOneRequest(t *testing.T) {
	log := &journal{}
	c, url := serveWith(t, api.Config{Controller: &faulty{}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	status, answer := post(t, url+"/api/v1/pause", "", bearer("sfy_c4n4ry"))
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Equal(t, "unknown", answer.Outcome)
	assert.Contains(t, log.String(), "lost my head")
	assert.NotContains(t, log.String()+answer.Description, "c4n4ry")
	_, err := c.Progress(t.Context())
	require.NoError(t, err)
}

func TestAuditIsAskedForByTime(t *testing.T) {
	c, url := serve(t, &fixed{})
	since := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	entries, err := c.Audit(t.Context(), since)
	require.NoError(t, err)
	assert.Equal(t, []api.AuditEntry{{At: since, Command: "pause", By: "alice"}}, entries)
	for _, query := range []string{"since=yesterday", "until=2027-01-02T03:04:05Z", "since=2027-01-02T03:04:05Z&since=2027-01-02T03:04:05Z"} {
		assert.Equal(t, http.StatusBadRequest, statusOf(t, url+"/api/v1/audit?"+query, nil), query)
	}
}
