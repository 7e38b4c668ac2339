package wire

import (
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// ownCommand is a command answered from the connection's state alone.
type ownCommand func(*conn, *command.Request) (*command.Response, error)

// ownCommands are the commands that never reach the handler.
var ownCommands = map[string]ownCommand{
	"saslStart":          (*conn).saslStart,
	"saslContinue":       (*conn).saslContinue,
	"logout":             (*conn).logout,
	"configureFailPoint": (*conn).configureFailPoint,
}

// beforeLogin are the commands a server with authentication answers to anyone.
var beforeLogin = map[string]bool{
	"hello": true, "isMaster": true, "ismaster": true,
	"saslStart": true, "saslContinue": true, "logout": true, "authenticate": true, "getnonce": true,
	"ping": true, "buildInfo": true, "buildinfo": true, "connectionStatus": true, "whatsmyuri": true,
}

// authorize refuses a command that needs a login. Beyond that every command is
// allowed to everyone: what roles grant is not simulated, but for the bypass
// of the write block.
func (c *conn) authorize(name string) error {
	if !c.srv.cfg.RequireAuth || c.client.User != "" || beforeLogin[name] {
		return nil
	}
	return mongoerr.New(mongoerr.Unauthorized, "Command %s requires authentication", name)
}

// login makes u the connection's user.
func (c *conn) login(u User) {
	c.setClient(u.DB+"."+u.Name, u.Roles)
}

// setClient replaces the client, so that a handler still holding the old one
// (a cursor, a session) does not see it change.
func (c *conn) setClient(user string, roles []command.Role) {
	next := *c.client
	next.User, next.Roles = user, roles
	next.BypassWriteBlock = bypassesWriteBlock(roles)
	c.client = &next
}

// logout forgets the connection's user.
func (c *conn) logout(*command.Request) (*command.Response, error) {
	c.setClient("", nil)
	return &command.Response{}, nil
}
