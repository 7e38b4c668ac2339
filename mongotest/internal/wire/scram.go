package wire

import (
	"context"
	"errors"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A conversation is a login in progress on a connection.
type conversation struct {
	id        int32
	db        string
	scram     *scram.ServerConversation
	user      access.User
	skipEmpty bool // the client wants no empty last exchange
	verified  bool
}

var errUnknownUser = errors.New("unknown user")

// newConversation starts a login with one of the SCRAM mechanisms.
func newConversation(users Users, db, mechanism string) (*conversation, error) {
	hashes := map[string]scram.HashGeneratorFcn{access.SCRAM1: scram.SHA1, access.SCRAM256: scram.SHA256}
	hash, ok := hashes[mechanism]
	if !ok {
		return nil, mongoerr.New(mongoerr.BadValue, "Received authentication for mechanism %s which is not enabled", mechanism)
	}
	v := &conversation{id: 1, db: db}
	server, err := hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		u, ok := users.User(db, name)
		if !ok {
			return scram.StoredCredentials{}, errUnknownUser
		}
		v.user = u
		stored, ok := u.Credentials.SCRAM[mechanism]
		if !ok {
			return scram.StoredCredentials{}, errUnknownUser
		}
		return stored, nil
	})
	if err != nil {
		return nil, mongoerr.New(mongoerr.InternalError, "%s: %v", mechanism, err)
	}
	v.scram = server.NewConversation()
	return v, nil
}

// step answers one message of the client. done is true when no other message
// is expected and the user is logged in.
func (v *conversation) step(payload []byte) (answer []byte, done bool, err error) {
	if v.verified { // the empty last exchange
		return nil, true, nil
	}
	out, err := v.scram.Step(string(payload))
	if err != nil {
		return nil, false, errAuthentication()
	}
	if v.scram.Done() {
		if !v.scram.Valid() {
			return nil, false, errAuthentication()
		}
		v.verified = true
	}
	return []byte(out), v.verified && v.skipEmpty, nil
}

func errAuthentication() error {
	return mongoerr.New(mongoerr.AuthenticationFailed, "Authentication failed.")
}

// saslStart begins a login in the request's database.
func (c *conn) saslStart(_ context.Context, req *command.Request) (*command.Response, error) {
	return c.startSASL(req.DB, req.Body)
}

func (c *conn) startSASL(db string, body bson.Raw) (*command.Response, error) {
	c.sasl = nil
	mechanism, _ := body.Lookup("mechanism").StringValueOK()
	v, err := newConversation(c.srv.cfg.Users, db, mechanism)
	if err != nil {
		return nil, err
	}
	v.skipEmpty, _ = body.Lookup("options", "skipEmptyExchange").BooleanOK()
	c.sasl = v
	return c.stepSASL(body)
}

// saslContinue is the next step of a login.
func (c *conn) saslContinue(_ context.Context, req *command.Request) (*command.Response, error) {
	if c.sasl == nil {
		return nil, mongoerr.New(mongoerr.ProtocolError, "No SASL session state found")
	}
	if id, ok := req.Body.Lookup("conversationId").AsInt64OK(); !ok || id != int64(c.sasl.id) {
		return nil, mongoerr.New(mongoerr.ProtocolError, "sasl: Mismatched conversation id")
	}
	if c.sasl.db != req.DB {
		return nil, mongoerr.New(mongoerr.ProtocolError, "Attempt to switch database target during SASL authentication.")
	}
	return c.stepSASL(req.Body)
}

// stepSASL feeds the payload of body to the login, and logs the user in at its
// end.
func (c *conn) stepSASL(body bson.Raw) (*command.Response, error) {
	v := c.sasl
	_, payload, ok := body.Lookup("payload").BinaryOK()
	if !ok {
		c.sasl = nil
		return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'payload' is missing or no binData")
	}
	answer, done, err := v.step(payload)
	if err != nil {
		c.sasl = nil
		return nil, err
	}
	if done {
		c.sasl = nil
		c.login(v.user)
	}
	doc := bsoncore.NewDocumentBuilder().
		AppendInt32("conversationId", v.id).
		AppendBoolean("done", done).
		AppendBinary("payload", 0, answer).
		Build()
	return &command.Response{Body: bson.Raw(doc)}, nil
}

// speculate starts the login inside a hello. It returns nil if that fails: the
// client then logs in the long way and sees the error there.
func (c *conn) speculate(start bson.Raw) bsoncore.Document {
	db, ok := start.Lookup("db").StringValueOK()
	if !ok {
		return nil
	}
	login := c.startSASL
	if _, err := start.LookupErr("authenticate"); err == nil {
		login = c.certificateLogin
	}
	resp, err := login(db, start)
	if err != nil {
		return nil
	}
	return bsoncore.Document(resp.Body)
}
