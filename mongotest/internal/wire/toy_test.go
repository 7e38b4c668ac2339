package wire_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// toy is a handler that looks like a mongos, counts inserted documents and can
// be told to change its topology version.
type toy struct {
	mu       sync.Mutex
	inserted int
	names    map[string]int
	users    []string
	bypass   bool
	version  int64
	changed  chan struct{} // closed at the next change of version
}

func newToy() *toy {
	return &toy{names: map[string]int{}, version: 1, changed: make(chan struct{})}
}

func (h *toy) Handle(ctx context.Context, req *command.Request) (*command.Response, error) {
	h.note(req)
	now := bson.Timestamp{T: uint32(time.Now().Unix()), I: 1}
	resp := &command.Response{OperationTime: now, ClusterTime: now}
	switch req.Name {
	case "hello", "isMaster", "ismaster":
		return h.hello(ctx, req, resp)
	case "ping", "endSessions":
		return resp, nil
	case "insert":
		docs, err := req.Docs("documents")
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		h.inserted += len(docs)
		h.mu.Unlock()
		resp.Body = value.D("n", int32(len(docs)))
		return resp, nil
	case "panic":
		panic("an invariant does not hold")
	case "hang":
		<-ctx.Done()
		return nil, context.Cause(ctx)
	default:
		return resp, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", req.Name).
			WithLabel("SomeLabel").WithInfo("extra", bson.D{{"a", 1}})
	}
}

func (h *toy) note(req *command.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names[req.Name]++
	if req.Name == "ping" {
		h.users = append(h.users, req.Client.User)
		h.bypass = req.Client.BypassWriteBlock
	}
}

func (h *toy) hello(ctx context.Context, req *command.Request, resp *command.Response) (*command.Response, error) {
	h.mu.Lock()
	changed, version := h.changed, h.version
	h.mu.Unlock()
	if seen, ok := req.Body.Lookup("topologyVersion", "counter").AsInt64OK(); ok && seen == version {
		wait, _ := req.Body.Lookup("maxAwaitTimeMS").AsInt64OK()
		select {
		case <-time.After(time.Duration(wait) * time.Millisecond):
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		h.mu.Lock()
		version = h.version
		h.mu.Unlock()
	}
	body, err := bson.Marshal(bson.D{
		{"isWritablePrimary", true},
		{"ismaster", true},
		{"msg", "isdbgrid"},
		{"topologyVersion", bson.D{{"processId", bson.ObjectID{1}}, {"counter", version}}},
		{"maxBsonObjectSize", 16777216},
		{"maxMessageSizeBytes", 48000000},
		{"maxWriteBatchSize", 100000},
		{"localTime", bson.NewDateTimeFromTime(time.Now())},
		{"logicalSessionTimeoutMinutes", 30},
		{"minWireVersion", 0},
		{"maxWireVersion", 25},
	})
	resp.Body = body
	return resp, err
}

// change gives the toy a new topology version.
func (h *toy) change() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version++
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *toy) count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[name]
}

// pipe serves srv on in-memory connections and counts those that are open.
type pipe struct {
	srv  *wire.Server
	ctx  context.Context
	wg   sync.WaitGroup
	errs chan error
}

func (p *pipe) DialContext(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.wg.Go(func() {
		if err := p.srv.Serve(p.ctx, server); err != nil {
			p.errs <- err
		}
	})
	return client, nil
}

func newPipe(t *testing.T, cfg wire.Config) *pipe {
	t.Helper()
	srv, err := wire.New(cfg)
	require.NoError(t, err)
	return &pipe{srv: srv, ctx: t.Context(), errs: make(chan error, 100)}
}

// connect returns a driver client whose connections end in p.
func (p *pipe) connect(t *testing.T, more ...*options.ClientOptions) *mongo.Client {
	t.Helper()
	opts := append([]*options.ClientOptions{options.Client().SetHosts([]string{"toy:27017"}).SetDialer(p)}, more...)
	cl, err := mongo.Connect(opts...)
	require.NoError(t, err)
	return cl
}

// userList is a fixed set of users with built-in roles.
type userList []access.User

func (l userList) User(db, name string) (access.User, bool) {
	for _, u := range l {
		if u.DB == db && u.Name == name {
			return u, true
		}
	}
	return access.User{}, false
}

func (userList) Privileges(roles []command.Role) access.Privileges {
	none := access.RoleFinder(func(command.Role) (access.Role, bool) { return access.Role{}, false })
	_, ps := none.Expand(roles)
	return ps
}

func (userList) Version() uint64 { return 0 }
