package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// maxKeptBuffer is how large a reply buffer a connection keeps for the next
// reply, in bytes.
const maxKeptBuffer = 1 << 20

// errDropped reports that a fault closed the connection.
var errDropped = errors.New("connection dropped by a fault")

// A conn is one connection. Only its loop touches it; the reader has the
// network connection's reading half for itself.
type conn struct {
	srv        *Server
	nc         net.Conn
	client     *command.Client
	out        []byte
	replyID    int32
	agreed     []string // compressors agreed on in the handshake
	sasl       *conversation
	grant      grant
	subject    string // of the client's certificate, "" without one
	helloSeen  bool
	negotiated byte // the compressor of the message being answered, 0 if none
}

func newConn(s *Server, nc net.Conn, id int64) *conn {
	return &conn{srv: s, nc: nc, client: &command.Client{ID: id, Addr: nc.RemoteAddr().String()}}
}

// read hands each message to the loop. It returns why there are no more. It
// reads ahead of the loop by one message, which is how the end of the
// connection is noticed while a command runs.
func (c *conn) read(ctx context.Context, frames chan<- frame) error {
	r := bufio.NewReaderSize(c.nc, 16<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			return err
		}
		select {
		case frames <- f:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// loop answers message after message. serverCtx ends with the server, ctx with
// the connection.
func (c *conn) loop(serverCtx, ctx context.Context, frames <-chan frame) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case f := <-frames:
			m, err := parse(f)
			if err != nil && m == nil {
				return err
			}
			c.negotiated = c.agreedOn(m.compressor)
			cmdCtx := ctx
			if !m.wantsReply() {
				cmdCtx = serverCtx // the client may leave; its write goes on
			}
			if err := c.answer(cmdCtx, m, err); err != nil {
				return err
			}
		}
	}
}

// answer runs one command and writes its reply. parseErr is the answer to a
// message that could not be read as a command.
func (c *conn) answer(ctx context.Context, m *message, parseErr error) error {
	if parseErr != nil {
		return c.respond(m, nil, parseErr)
	}
	req := &command.Request{Name: m.name, DB: m.db, Body: m.body, Sequences: m.sequences, Client: c.client}
	if m.flags&flagExhaustAllowed != 0 && isHello(m.name) {
		return c.exhaust(ctx, m, req)
	}
	resp, err := c.perform(ctx, m, req)
	if errors.Is(err, errDropped) {
		return err
	}
	return c.respond(m, resp, err)
}

// perform runs a command with the faults that are meant for it. It returns
// errDropped if the connection is to be closed without an answer.
func (c *conn) perform(ctx context.Context, m *message, req *command.Request) (*command.Response, error) {
	if h, ok := c.srv.cfg.Beside[req.Name]; ok {
		if err := c.authorize(req); err != nil {
			return nil, err
		}
		return h.Handle(ctx, req)
	}
	fault := c.fault(req)
	if fault != nil {
		if err := fault.before(ctx); err != nil {
			return nil, err
		}
		if fault.Error != nil {
			return nil, fault.Error
		}
	}
	resp, err := c.run(ctx, m, req)
	if errors.Is(err, command.ErrHangUp) || fault != nil && fault.DropReply {
		return nil, fmt.Errorf("%w: reply to %s", errDropped, m.name)
	}
	if err == nil {
		resp = c.injectConcern(req, resp)
	}
	return resp, err
}

// run executes a command: those about the connection here, others by the
// handler. One that panics answers InternalError; the connection lives on.
func (c *conn) run(ctx context.Context, m *message, req *command.Request) (resp *command.Response, err error) {
	defer func() {
		if r := recover(); r != nil {
			c.srv.cfg.Logger.ErrorContext(ctx, "command panicked", "command", req.Name, "db", req.DB, "panic", r, "stack", string(debug.Stack()))
			resp, err = nil, mongoerr.New(mongoerr.InternalError, "%s: %v", req.Name, r)
		}
	}()
	if err := m.checkQuery(); err != nil {
		return nil, err
	}
	if err := c.authorize(req); err != nil {
		return nil, err
	}
	req.Client = c.client
	if isHello(req.Name) {
		c.noteApp(req)
	}
	if own, ok := ownCommands[req.Name]; ok {
		return own(c, ctx, req)
	}
	if err := c.srv.cfg.FailPoints.CheckTimeLimit(req); err != nil {
		return nil, err
	}
	return c.srv.cfg.Handler.Handle(ctx, req)
}

// respond writes the one reply to m, if it wants one.
func (c *conn) respond(m *message, resp *command.Response, err error) error {
	r, err := c.reply(m, resp, err)
	if err != nil {
		return err
	}
	if !m.wantsReply() {
		return nil
	}
	_, err = c.write(r, m, m.requestID, 0)
	return err
}

// reply builds the reply to m. failure is the handler's error.
func (c *conn) reply(m *message, resp *command.Response, failure error) (*reply, error) {
	r, err := newReply(resp, failure)
	if err == nil && failure == nil && isHello(m.name) {
		c.handshake(m, r)
	}
	return r, err
}

// write sends r and returns the request id it carries.
func (c *conn) write(r *reply, m *message, responseTo int32, flags uint32) (int32, error) {
	c.replyID++
	msg := r.appendReply(c.out[:0], m, responseTo, c.replyID, flags)
	if cap(msg) <= maxKeptBuffer {
		c.out = msg
	}
	if c.negotiated != 0 && compressible(m.name) {
		var err error
		if msg, err = compress(msg, c.negotiated); err != nil {
			return 0, fmt.Errorf("compress reply: %w", err)
		}
	}
	if _, err := c.nc.Write(msg); err != nil {
		return 0, fmt.Errorf("write reply: %w", err)
	}
	return c.replyID, nil
}

// fault returns what a test wants to happen to the command, nil for nothing.
func (c *conn) fault(req *command.Request) *Fault {
	if c.srv.cfg.Fault != nil {
		if f := c.srv.cfg.Fault(req); f != nil {
			return f
		}
	}
	return c.injected(req)
}
