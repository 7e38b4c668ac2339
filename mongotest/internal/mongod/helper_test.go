package mongod_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fixture is a node with a client.
type fixture struct {
	*mongod.Node
	t      *testing.T
	client *command.Client
	routed *command.Routed
}

func newFixture(t *testing.T, change ...func(*mongod.Config)) *fixture {
	t.Helper()
	clock := oplog.NewClock()
	log := oplog.NewLog(clock, oplog.Options{})
	c := mongod.Config{Name: "a:1", SetName: "rs", Log: log, Clock: clock, Engine: storage.NewEngine(log, clock)}
	for _, f := range change {
		f(&c)
	}
	return &fixture{Node: mongod.New(c), t: t, client: &command.Client{ID: 1, Addr: "client:1"}}
}

// as returns the fixture with another client.
func (f *fixture) as(c *command.Client) *fixture {
	g := *f
	g.client = c
	return &g
}

// through returns the fixture as a mongos uses it.
func (f *fixture) through(r command.Routed) *fixture {
	g := *f
	g.routed = &r
	return &g
}

// try runs a command.
func (f *fixture) try(ctx context.Context, db string, pairs ...any) (*command.Response, error) {
	body := value.D(pairs...)
	return f.Handle(ctx, &command.Request{Name: pairs[0].(string), DB: db, Body: body, Client: f.client, Routed: f.routed})
}

// run runs a command that must succeed.
func (f *fixture) run(db string, pairs ...any) bson.Raw {
	f.t.Helper()
	r, err := f.try(f.t.Context(), db, pairs...)
	require.NoError(f.t, err)
	return r.Body
}

// fail runs a command that must fail with code.
func (f *fixture) fail(code mongoerr.Code, db string, pairs ...any) {
	f.t.Helper()
	_ = f.failure(code, db, pairs...)
}

// failure is fail that returns the error.
func (f *fixture) failure(code mongoerr.Code, db string, pairs ...any) *mongoerr.Error {
	f.t.Helper()
	_, err := f.try(f.t.Context(), db, pairs...)
	require.Error(f.t, err)
	e := mongoerr.From(err)
	require.Equal(f.t, code, e.Code, "%v", err)
	return e
}

// insert inserts documents into db.c.
func (f *fixture) insert(docs ...bson.Raw) {
	f.t.Helper()
	f.run("db", "insert", "c", "documents", docs)
}

// batch returns the documents of a cursor reply, as JSON.
func batch(t *testing.T, reply bson.Raw) []string {
	t.Helper()
	c := reply.Lookup("cursor").Document()
	v := c.Lookup("firstBatch")
	if v.Type == 0 {
		v = c.Lookup("nextBatch")
	}
	vals, err := v.Array().Values()
	require.NoError(t, err)
	out := []string{}
	for _, d := range vals {
		out = append(out, d.Document().String())
	}
	return out
}

func cursorID(reply bson.Raw) int64 { return reply.Lookup("cursor", "id").Int64() }

// ids returns the _ids of a cursor reply's documents.
func ids(t *testing.T, reply bson.Raw) []int64 {
	t.Helper()
	c := reply.Lookup("cursor").Document()
	v := c.Lookup("firstBatch")
	if v.Type == 0 {
		v = c.Lookup("nextBatch")
	}
	vals, err := v.Array().Values()
	require.NoError(t, err)
	out := []int64{}
	for _, d := range vals {
		i, _ := value.AsInt64(d.Document().Lookup("_id"))
		out = append(out, i)
	}
	return out
}

// find returns the _ids a find yields.
func (f *fixture) find(pairs ...any) []int64 {
	f.t.Helper()
	return ids(f.t, f.run("db", append([]any{"find", "c"}, pairs...)...))
}

// doc is {_id: id, a: a}.
func doc(id, a any) bson.Raw { return value.D("_id", id, "a", a) }

// num reads a number of a reply.
func num(reply bson.Raw, path ...string) int64 {
	i, _ := value.AsInt64(reply.Lookup(path...))
	return i
}

// lsid returns a session id document.
func lsid() bson.Raw { return value.D("id", value.NewUUID()) }

// background runs the node's background work until the returned function is
// called.
func (f *fixture) background() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
