package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
)

// Config is what a Server needs. Handler is required.
type Config struct {
	Handler     command.Handler
	Users       Users                         // who may log in; nil means nobody
	RequireAuth bool                          // refuse commands before a login
	TLS         *tls.Config                   // nil, or every connection begins with a handshake
	Compressors []string                      // accepted, best first; nil means snappy, zstd, zlib
	Fault       func(*command.Request) *Fault // nil, or asked before each command
	Beside      map[string]command.Handler    // answer the commands of these names, whatever Fault says
	FailPoints  *failpoint.Set                // of the process; nil gives it some that only the wire layer heeds
	Logger      *slog.Logger                  // nil discards
}

// A Server answers on any number of connections for one node or router. Its
// methods may be called from many goroutines at once.
type Server struct {
	cfg    Config
	lastID atomic.Int64
}

// New returns a Server. It does no I/O.
func New(cfg Config) (*Server, error) {
	if cfg.Handler == nil {
		return nil, errors.New("wire: no handler")
	}
	if cfg.Compressors == nil {
		cfg.Compressors = []string{"snappy", "zstd", "zlib"}
	}
	for _, name := range cfg.Compressors {
		if _, ok := compressorID(name); !ok {
			return nil, fmt.Errorf("wire: unknown compressor %q", name)
		}
	}
	if cfg.Users == nil {
		cfg.Users = nobody{}
	}
	if cfg.FailPoints == nil {
		cfg.FailPoints = failpoint.NewSet()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg}, nil
}

// Serve answers on nc until the client leaves or ctx ends, and closes nc. It
// returns after the last goroutine it started has ended: nil if the client
// closed the connection between two messages, else what ended it. A command in
// progress when the connection closes sees its context end, unless the client
// asked for no reply.
func (s *Server) Serve(ctx context.Context, nc net.Conn) error {
	connCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-connCtx.Done()
		_ = nc.Close() // unblocks the reader and a writer; nothing was buffered
	}()
	err := s.converse(ctx, connCtx, cancel, nc)
	cancel(err)
	<-closed
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// converse shakes hands and answers messages until the connection ends.
func (s *Server) converse(ctx, connCtx context.Context, cancel context.CancelCauseFunc, nc net.Conn) error {
	c := newConn(s, nc, s.lastID.Add(1))
	if s.cfg.TLS != nil {
		secure := tls.Server(nc, s.cfg.TLS)
		if err := secure.HandshakeContext(connCtx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.nc, c.subject = secure, subjectOf(secure.ConnectionState())
	}
	frames := make(chan frame)
	readerDone := make(chan struct{})
	go func() {
		defer close(readerDone)
		cancel(c.read(connCtx, frames))
	}()
	err := c.loop(ctx, connCtx, frames)
	cancel(err)
	<-readerDone
	return err
}
