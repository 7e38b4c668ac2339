// Package command is the one form in which a command travels inside the
// simulated cluster: from the wire to a mongod or a mongos, and from a mongos
// to its shards.
package command

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Handler answers commands: a mongod node or a mongos router. Handle may be
// called from many goroutines at once; it returns when ctx ends. An error is
// rendered as the reply {ok: 0, ...}; see mongoerr.From.
type Handler interface {
	Handle(ctx context.Context, req *Request) (*Response, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, req *Request) (*Response, error)

// Handle implements Handler.
func (f HandlerFunc) Handle(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// ErrHangUp is returned by a Handler that wants the connection closed instead
// of an answer.
var ErrHangUp = errors.New("the server closes the connection")

// A Labeler is a Handler that puts error labels on failures. The wire layer
// asks it about those that a fail point injects.
type Labeler interface {
	// Label returns the failure of req, which has not begun to run, with the
	// labels the server gives it.
	Label(req *Request, failure error) error
	// ConcernLabels returns the labels of a reply to req that has succeeded but
	// for a writeConcernError of this code.
	ConcernLabels(req *Request, code mongoerr.Code) []string
}

// A Request is one command.
type Request struct {
	Name      string   // the command's name as sent: the first field of Body
	DB        string   // $db
	Body      bson.Raw // the whole command document
	Sequences []Sequence
	Client    *Client // the connection it came from; never nil
	Routed    *Routed // set when a mongos of the same cluster sends it to a shard
	To        Target  // set with it
}

// A Sequence is a document sequence section of OP_MSG (kind 1).
type Sequence struct {
	ID   string // documents, updates, deletes, ops or nsInfo
	Docs []bson.Raw
}

// A Client is the state of one connection. The wire layer changes it between
// commands only, so handlers read it without a lock.
type Client struct {
	ID               int64
	Addr             string
	AppName          string
	User             string // "admin.name" once authenticated, else empty
	Roles            []Role
	BypassWriteBlock bool // holds bypassWriteBlockingMode (roles restore, root, __system)

	// SeesDB and SeesCollection say what lists show to the client; nil means
	// everything.
	SeesDB         func(db string) bool
	SeesCollection func(db, coll string) bool
}

// A Role is a role name in a database.
type Role struct{ Role, DB string }

// Routed is what a mongos knows and a client cannot say.
type Routed struct {
	FromMigrate bool                    // log what this changes with fromMigrate: true
	UUID        value.UUID              // for create: the collection's UUID; zero lets the shard choose
	ShardKey    bson.Raw                // for create and shardCollection: the shard key, nil if unsharded
	Owned       func(doc bson.Raw) bool // nil, or whether this shard owns doc: reads skip the others
	Placement   *Placement              // what the shard has to check first; it then knows itself what it owns
}

// A Response is a successful answer. Body is a complete document without ok,
// operationTime and $clusterTime, which the wire layer appends.
type Response struct {
	Body          bson.Raw
	Member        string // the address of the member that answered a router
	OperationTime bson.Timestamp
	ClusterTime   bson.Timestamp
	Wrote         bool // the statement's transaction has written on this shard
}

// Docs returns the documents of a write command: from the document sequence id
// if there is one, else from the array field id of the body.
func (r *Request) Docs(id string) ([]bson.Raw, error) {
	for _, s := range r.Sequences {
		if s.ID == id {
			return s.Docs, nil
		}
	}
	v := r.Body.Lookup(id)
	if v.Type == 0 {
		return nil, nil
	}
	arr, ok := v.ArrayOK()
	if !ok {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type 'array'", r.Name, id, v.Type)
	}
	elems, err := arr.Values()
	if err != nil {
		return nil, mongoerr.New(mongoerr.InvalidBSON, "field %s: %v", id, err)
	}
	docs := make([]bson.Raw, len(elems))
	for i, e := range elems {
		d, ok := e.DocumentOK()
		if !ok {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s.%d' is the wrong type '%s', expected type 'object'", r.Name, id, i, e.Type)
		}
		docs[i] = d
	}
	return docs, nil
}

// Collection returns the collection the command names in its first field, or
// "" if that is not a string.
func (r *Request) Collection() string {
	s, _ := r.Body.Lookup(r.Name).StringValueOK()
	return s
}

// NS returns "db.collection" of the command's first field.
func (r *Request) NS() string { return r.DB + "." + r.Collection() }
