package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// DefaultAddr is where a node listens unless told otherwise: mongosync's port,
// on the loopback interface only.
const DefaultAddr = "127.0.0.1:27182"

const (
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second // of an answer, once it is known
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	maxHeader       = 16 << 10 // bytes
	maxVerify       = 2        // comparisons at a time: each reads two clusters
)

// Config holds what a Server needs.
type Config struct {
	Controller Controller

	// Cluster has the nodes that belong together. Nil: the node works alone.
	Cluster ClusterController

	// Tokens say who may do what. Nil: whoever reaches the server may do all.
	Tokens *Tokens

	// Certificates for TLS. Nil: none.
	Certificates *Certificates

	// LoopbackOnly refuses requests that were not sent to a name of the loopback
	// interface, as a web page's are whose name leads there.
	LoopbackOnly bool

	// Rate is how many requests a second one client may make; 0: DefaultRate,
	// negative: any number.
	Rate float64

	Logger *slog.Logger
}

// Server answers HTTP requests for one node.
type Server struct {
	cfg       Config
	limits    *limiter
	verifying chan struct{} // holds as many as run
}

// NewServer returns a Server that is not running.
func NewServer(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, limits: newLimiter(cfg.Rate), verifying: make(chan struct{}, maxVerify)}
}

// Run serves on l until ctx ends, and closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if s.cfg.Certificates != nil {
		l = tls.NewListener(l, s.cfg.Certificates.config())
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		sctx, cancel := context.WithTimeout(context.WithoutCancel(gctx), shutdownTimeout)
		defer cancel()
		if err := srv.Shutdown(sctx); err != nil {
			return errors.Join(context.Cause(gctx), srv.Close())
		}
		return context.Cause(gctx)
	})
	return g.Wait()
}

// Handler returns the routes. Commands are POST, questions GET; every answer is
// a JSON object with the field success.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.commands(mux)
	s.cluster(mux)
	ask := func(name string, role Role, h http.HandlerFunc) {
		mux.HandleFunc("GET /api/v1/"+name, s.needs(role, h))
	}
	ask("progress", RoleViewer, func(w http.ResponseWriter, r *http.Request) {
		p, err := s.cfg.Controller.Progress(r.Context())
		s.answer(w, r, ProgressResponse{Result: Result{Success: true}, Progress: &p}, err)
	})
	ask("verify", RoleViewer, s.verify)
	ask("audit", RoleViewer, s.audit)
	ask("tokens", RoleAdmin, func(w http.ResponseWriter, r *http.Request) {
		body := TokensResponse{Result: Result{Success: true}, Tokens: []TokenInfo{}}
		if s.cfg.Tokens != nil {
			body.Tokens = s.cfg.Tokens.list(time.Now())
		}
		s.answer(w, r, body, nil)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.write(w, http.StatusNotFound, Result{Error: "NotFound", Description: fmt.Sprintf(
			"there is no %s %s: see GET progress, verify, audit, tokens and POST start, pause, resume, commit, reverse, rollback under /api/v1/", r.Method, shorten(r.URL.Path))})
	})
	return s.guarded(mux)
}

func (s *Server) verify(w http.ResponseWriter, r *http.Request) {
	select {
	case s.verifying <- struct{}{}:
		defer func() { <-s.verifying }()
	default:
		w.Header().Set("Retry-After", "60")
		s.answer(w, r, nil, fmt.Errorf("%w: %d comparisons run already", ErrTooMany, maxVerify))
		return
	}
	rep, err := s.cfg.Controller.Verify(r.Context())
	s.answer(w, r, VerifyResponse{Result: Result{Success: true}, Report: &rep}, err)
}

// audit answers with the commands since ?since=, a time.
func (s *Server) audit(w http.ResponseWriter, r *http.Request) {
	var since time.Time
	var err error
	for name, values := range r.URL.Query() {
		if name != "since" || len(values) != 1 {
			err = fmt.Errorf("%w: %q: want nothing but since, once", ErrBadRequest, shorten(name))
			break
		}
		if since, err = time.Parse(time.RFC3339, values[0]); err != nil {
			err = fmt.Errorf("%w: since: want a time like 2027-01-31T00:00:00Z", ErrBadRequest)
		}
	}
	body := AuditResponse{Result: Result{Success: true}, Audit: []AuditEntry{}}
	if err == nil {
		var entries []AuditEntry
		entries, err = s.cfg.Controller.Audit(r.Context(), since)
		body.Audit = append(body.Audit, entries...)
	}
	s.answer(w, r, body, err)
}

// answer answers a question.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, ok any, err error) {
	if err == nil {
		s.write(w, http.StatusOK, ok)
		return
	}
	status, body := encodeError(err)
	s.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "no answer", slog.String("path", r.URL.Path), slog.String("name", body.Error),
		slog.Any("error", err), callerOf(r.Context()).attr())
	s.write(w, status, body)
}

// write sends a JSON answer. A client that went away is not told anything.
func (s *Server) write(w http.ResponseWriter, status int, body any) {
	// Not every writer has deadlines: those of tests have none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
