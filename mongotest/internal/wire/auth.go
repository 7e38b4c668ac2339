package wire

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

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
	"connectionStatus":   (*conn).connectionStatus,
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

// connectionStatus reports who is logged in.
func (c *conn) connectionStatus(req *command.Request) (*command.Response, error) {
	users, roles := bsoncore.NewArrayBuilder(), bsoncore.NewArrayBuilder()
	if c.client.User != "" {
		db, name := splitUser(c.client.User)
		users.AppendDocument(bsoncore.NewDocumentBuilder().AppendString("user", name).AppendString("db", db).Build())
	}
	for _, r := range c.client.Roles {
		roles.AppendDocument(bsoncore.NewDocumentBuilder().AppendString("role", r.Role).AppendString("db", r.DB).Build())
	}
	info := bsoncore.NewDocumentBuilder().
		AppendArray("authenticatedUsers", users.Build()).
		AppendArray("authenticatedUserRoles", roles.Build())
	if show, ok := req.Body.Lookup("showPrivileges").BooleanOK(); ok && show {
		info.AppendArray("authenticatedUserPrivileges", bsoncore.NewArrayBuilder().Build())
	}
	doc := bsoncore.NewDocumentBuilder().AppendDocument("authInfo", info.Build()).Build()
	return &command.Response{Body: bson.Raw(doc)}, nil
}

// splitUser splits "db.user"; a database's name has no dot.
func splitUser(full string) (db, name string) {
	for i := range full {
		if full[i] == '.' {
			return full[:i], full[i+1:]
		}
	}
	return "", full
}
