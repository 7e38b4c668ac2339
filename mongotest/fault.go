package mongotest

import (
	"context"
	"net"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// Faults are hooks by which a test disturbs a cluster. Each may be nil. They
// are called from many goroutines at once.
type Faults struct {
	// Dial is called when a client opens a connection to addr through the
	// Dialer. It may wait until ctx ends; an error refuses the connection.
	Dial func(ctx context.Context, addr string) error
	// Conn replaces the server's side of a connection to addr, in memory or
	// TCP, by one that loses, delays or cuts what passes through it.
	Conn func(addr string, server net.Conn) net.Conn
	// Command decides what happens to a command that a client sent to addr.
	Command func(cmd Command) Fault
	// Route decides what happens to a command that a router sends to a shard;
	// its Addr is the shard's member. A dropped request or reply is the error
	// HostUnreachable to the router.
	Route func(cmd Command) Fault
}

// A Command is what a fault may depend on. Body must not be changed.
type Command struct {
	Addr    string // host:port of the member or router it was sent to
	Name    string
	DB      string
	Body    bson.Raw
	AppName string // of the client that sent it
	User    string // "db.name" of who is logged in, else empty
}

// A Fault is what happens to one command. The zero value is nothing.
type Fault struct {
	Delay       time.Duration // wait so long before anything else
	DropRequest bool          // cut the connection without running the command
	Error       *ServerError  // answer with this without running the command
	DropReply   bool          // run the command, then cut the connection
}

// A ServerError is an error a server answers with.
type ServerError struct {
	Code    int32
	Message string
	Labels  []string // errorLabels, such as "RetryableWriteError"
}

func (e *ServerError) asError() *mongoerr.Error {
	if e == nil {
		return nil
	}
	err := mongoerr.New(mongoerr.Code(e.Code), "%s", e.Message)
	err.Labels = e.Labels
	return err
}

// asWire returns f for the wire layer, nil if it is nothing.
func (f Fault) asWire() *wire.Fault {
	if f == (Fault{}) {
		return nil
	}
	return &wire.Fault{Delay: f.Delay, DropRequest: f.DropRequest, Error: f.Error.asError(), DropReply: f.DropReply}
}

func commandOf(addr string, req *command.Request) Command {
	cmd := Command{Addr: addr, Name: req.Name, DB: req.DB, Body: req.Body}
	if req.Client != nil {
		cmd.AppName, cmd.User = req.Client.AppName, req.Client.User
	}
	return cmd
}
