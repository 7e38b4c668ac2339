package wire

import (
	"context"
	"strings"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// ownCommand is a command answered from the connection's state alone.
type ownCommand func(*conn, context.Context, *command.Request) (*command.Response, error)

// ownCommands are the commands that never reach the handler.
var ownCommands = map[string]ownCommand{
	"saslStart":          (*conn).saslStart,
	"saslContinue":       (*conn).saslContinue,
	"authenticate":       (*conn).authenticate,
	"logout":             (*conn).logout,
	"configureFailPoint": (*conn).configureFailPoint,
	"waitForFailPoint":   (*conn).waitForFailPoint,
}

// beforeLogin are the commands a server with authentication answers to anyone.
var beforeLogin = map[string]bool{
	"hello": true, "isMaster": true, "ismaster": true,
	"saslStart": true, "saslContinue": true, "logout": true, "authenticate": true, "getnonce": true,
	"ping": true, "buildInfo": true, "buildinfo": true, "connectionStatus": true, "whatsmyuri": true,
}

// A grant is what the user of a connection may do, as of one version of the
// server's users.
type grant struct {
	version    uint64
	privileges access.Privileges
}

// authorize refuses a command that needs a login, or more than the user's roles
// allow. A server that requires no login allows everything to everyone.
func (c *conn) authorize(req *command.Request) error {
	c.renew()
	switch {
	case !c.srv.cfg.RequireAuth || beforeLogin[req.Name]:
		return nil
	case c.client.User == "":
		return mongoerr.New(mongoerr.Unauthorized, "Command %s requires authentication", req.Name)
	}
	return c.grant.privileges.Authorize(req)
}

// renew looks the user up again after a change: roles may have come or gone,
// and the user with them.
func (c *conn) renew() {
	if c.client.User == "" || c.grant.version == c.srv.cfg.Users.Version() {
		return
	}
	db, name, _ := strings.Cut(c.client.User, ".")
	u, ok := c.srv.cfg.Users.User(db, name)
	if !ok {
		c.forget()
		return
	}
	c.login(u)
}

// login makes u the connection's user.
func (c *conn) login(u access.User) {
	c.grant.version = c.srv.cfg.Users.Version() // before the look-up, so that no change is missed
	c.grant.privileges = c.srv.cfg.Users.Privileges(u.Roles)
	ps := c.grant.privileges
	next := *c.client
	next.User, next.Roles = access.UserID(u.DB, u.Name), u.Roles
	next.BypassWriteBlock = ps.Allow(access.Need{Resource: access.Resource{Cluster: true}, Action: "bypassWriteBlockingMode"})
	if c.srv.cfg.RequireAuth {
		next.SeesDB, next.SeesCollection = ps.SeeDB, ps.SeeCollection
		if ps.Allow(access.Need{Resource: access.Resource{Cluster: true}, Action: "listDatabases"}) {
			next.SeesDB = nil
		}
	}
	c.setClient(next)
}

// forget logs the connection's user out.
func (c *conn) forget() {
	c.grant = grant{}
	c.setClient(command.Client{ID: c.client.ID, Addr: c.client.Addr, AppName: c.client.AppName})
}

// setClient replaces the client, so that a handler still holding the old one
// (a cursor, a session) does not see it change.
func (c *conn) setClient(next command.Client) { c.client = &next }

// logout forgets the connection's user.
func (c *conn) logout(context.Context, *command.Request) (*command.Response, error) {
	c.forget()
	return &command.Response{}, nil
}
