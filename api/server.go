package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	maxBody         = 1 << 20 // bytes of a request
	readTimeout     = 10 * time.Second
	shutdownTimeout = 2 * time.Second
)

// Server answers HTTP requests for one node.
type Server struct {
	ctl Controller
	log *slog.Logger
}

// NewServer returns a Server that is not running.
func NewServer(ctl Controller, log *slog.Logger) *Server { return &Server{ctl: ctl, log: log} }

// Run serves on l until ctx ends, and closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
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
	command := func(name string, do func(context.Context, string) error) {
		mux.HandleFunc("POST /api/v1/"+name, func(w http.ResponseWriter, r *http.Request) {
			var empty struct{}
			err := decode(w, r, &empty)
			if err == nil {
				err = do(r.Context(), r.RemoteAddr)
			}
			s.answer(w, r, Result{Success: true}, err)
		})
	}
	command("pause", s.ctl.Pause)
	command("commit", s.ctl.Commit)
	command("reverse", s.ctl.Reverse)
	command("rollback", s.ctl.Rollback)
	mux.HandleFunc("POST /api/v1/resume", func(w http.ResponseWriter, r *http.Request) {
		var req ResumeRequest
		err := decode(w, r, &req)
		switch {
		case err != nil:
		case req.RecopyLost:
			err = s.ctl.RecopyLost(r.Context(), r.RemoteAddr)
		default:
			err = s.ctl.Resume(r.Context(), r.RemoteAddr)
		}
		s.answer(w, r, Result{Success: true}, err)
	})
	mux.HandleFunc("POST /api/v1/start", func(w http.ResponseWriter, r *http.Request) {
		var req StartRequest
		err := decode(w, r, &req)
		if err == nil {
			err = s.ctl.Start(r.Context(), req, r.RemoteAddr)
		}
		s.answer(w, r, Result{Success: true}, err)
	})
	mux.HandleFunc("GET /api/v1/progress", func(w http.ResponseWriter, r *http.Request) {
		p, err := s.ctl.Progress(r.Context())
		s.answer(w, r, ProgressResponse{Result: Result{Success: true}, Progress: &p}, err)
	})
	mux.HandleFunc("GET /api/v1/verify", func(w http.ResponseWriter, r *http.Request) {
		rep, err := s.ctl.Verify(r.Context())
		s.answer(w, r, VerifyResponse{Result: Result{Success: true}, Report: &rep}, err)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		write(w, http.StatusNotFound, Result{Error: "NotFound", Description: fmt.Sprintf(
			"there is no %s %s: see GET progress, verify and POST start, pause, resume, commit, reverse, rollback under /api/v1/", r.Method, r.URL.Path)})
	})
	return mux
}

// decode reads a JSON object. An empty body counts as {}.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && dec.More() {
		err = errors.New("there is something after the JSON object")
	}
	if err != nil {
		return fmt.Errorf("%w: the body: %w", ErrBadRequest, err)
	}
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, ok any, err error) {
	if err == nil {
		write(w, http.StatusOK, ok)
		return
	}
	status, body := encodeError(err)
	s.log.LogAttrs(r.Context(), slog.LevelWarn, "request refused", slog.String("path", r.URL.Path), slog.String("name", body.Error), slog.Any("error", err))
	write(w, status, body)
}

// write sends a JSON answer. A client that went away is not told anything.
func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
