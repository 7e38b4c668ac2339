package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// A caller is who makes a request.
type caller struct {
	name string // of the token; empty if there are none
	from string // address
	role Role
}

func (c caller) attr() slog.Attr {
	return slog.Group("caller", slog.String("name", c.name), slog.String("from", c.from))
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// guarded lets requests through to h that may be made, and answers the others.
// They leave no trace but in the log: whoever may not do a thing must not be able
// to fill what is replicated.
func (s *Server) guarded(h http.Handler) http.Handler {
	browsers := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		who, err := s.authenticate(r)
		key := "address " + network(r.RemoteAddr)
		if who.name != "" {
			key = "token " + who.name
		}
		if wait, first := s.limits.take(key, time.Now()); wait > 0 {
			s.tooMany(w, r, who, wait, first)
			return
		}
		if err == nil {
			// A page of somebody else may make a browser on this machine send commands here.
			if cerr := browsers.Check(r); cerr != nil {
				err = fmt.Errorf("%w: it comes from a web page of another place", ErrForbidden)
			} else if s.cfg.LoopbackOnly && !Loopback(r.Host) {
				err = fmt.Errorf("%w: without tokens only requests to localhost are answered", ErrForbidden)
			}
		}
		if err != nil {
			if errors.Is(err, ErrUnauthorized) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="shardferry"`)
			}
			s.turnAway(w, r, who, err)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// authenticate returns who makes a request. Without tokens that is anybody.
func (s *Server) authenticate(r *http.Request) (caller, error) {
	if s.cfg.Tokens == nil {
		return caller{from: r.RemoteAddr, role: RoleAdmin}, nil
	}
	id, err := s.cfg.Tokens.identify(bearer(r), time.Now())
	return caller{name: id.name, from: r.RemoteAddr, role: id.role}, err
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// needs lets callers through who have the role.
func (s *Server) needs(role Role, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := callerOf(r.Context())
		if !who.role.Includes(role) {
			s.turnAway(w, r, who, fmt.Errorf("%w: it needs the role %s, and %s has the role %s", ErrForbidden, role, who.name, who.role))
			return
		}
		h(w, r)
	}
}

func (s *Server) tooMany(w http.ResponseWriter, r *http.Request, who caller, wait time.Duration, log bool) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(max(1, seconds)))
	err := fmt.Errorf("%w: ask again in %d s", ErrTooMany, max(1, seconds))
	if !log { // one line for each time a client begins to ask too often
		s.write(w, http.StatusTooManyRequests, refused(err))
		return
	}
	s.turnAway(w, r, who, err)
}

// turnAway answers a request that is not let through.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, who caller, err error) {
	status, _ := encodeError(err)
	body := refused(err)
	s.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "request refused", slog.String("method", r.Method), slog.String("path", shorten(r.URL.Path)),
		slog.String("name", body.Error), slog.String("text", body.Description), who.attr())
	s.write(w, status, body)
}

func refused(err error) Result {
	_, body := encodeError(err)
	body.Outcome = OutcomeRefused
	return body
}

// recovered answers a request during which the program has panicked. What is
// logged holds no value of the request.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	text := fmt.Sprint(p)
	if token := bearer(r); token != "" {
		text = strings.ReplaceAll(text, token, "xxxxx")
	}
	s.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("path", shorten(r.URL.Path)), slog.String("text", text), slog.String("stack", string(debug.Stack())))
	s.write(w, http.StatusInternalServerError, Result{Error: "Failed", Description: "a mistake in the program; its log says more", Outcome: OutcomeUnknown})
}
