package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// subjectOf returns the name of a connection's client certificate as the users
// of $external spell it, "" without one.
func subjectOf(state tls.ConnectionState) string {
	if len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 {
		return ""
	}
	return subjectName(state.PeerCertificates[0].Subject)
}

// subjectName is the distinguished name in the order and escaping of RFC 2253.
func subjectName(name pkix.Name) string { return name.String() }

// authenticate is the login by a certificate: the only mechanism that needs no
// conversation.
func (c *conn) authenticate(_ context.Context, req *command.Request) (*command.Response, error) {
	return c.certificateLogin(req.DB, req.Body)
}

// certificateLogin logs the owner of the connection's certificate in. What is
// wrong is not said, as the server does not.
func (c *conn) certificateLogin(db string, body bson.Raw) (*command.Response, error) {
	mechanism, _ := body.Lookup("mechanism").StringValueOK()
	name, named := body.Lookup("user").StringValueOK()
	if mechanism != access.X509 || db != access.External || c.subject == "" || named && name != c.subject {
		return nil, errAuthentication()
	}
	u, ok := c.srv.cfg.Users.User(access.External, c.subject)
	if !ok {
		return nil, errAuthentication()
	}
	c.login(u)
	return &command.Response{Body: value.D("dbname", access.External, "user", c.subject)}, nil
}
