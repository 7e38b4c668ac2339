package reverse_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/topology"
)

var quotas = shardferry.Namespace{DB: "d", Coll: "quotas"}

// An end is a cluster with two clients: ours, who may write past a write block
// if its role allows it, and an application's.
type end struct {
	t       *testing.T
	cluster *mongotest.Cluster
	our     *mongo.Client
	app     *mongo.Client
}

// bubble runs a story between two clusters in virtual time. An empty role means
// that nobody has to log in.
func bubble(t *testing.T, shards int, roles [2]string, story func(t *testing.T, from, to *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var ends []*end
		var ended []chan error
		for i, name := range []string{"source", "destination"} {
			o := mongotest.Options{Name: name, Shards: shards}
			for user, role := range map[string]string{"our": roles[i], "app": "readWriteAnyDatabase"} {
				if roles[i] != "" {
					o.Users = append(o.Users, mongotest.User{Name: user, Password: "p", DB: "admin", Roles: []mongotest.Role{{Role: role, DB: "admin"}}})
				}
			}
			c, err := mongotest.New(o)
			require.NoError(t, err)
			over := make(chan error, 1)
			go func() { over <- c.Run(ctx) }()
			ended = append(ended, over)
			<-c.Ready()
			e := &end{t: t, cluster: c}
			e.our, e.app = e.connect("our", roles[i] != ""), e.connect("app", roles[i] != "")
			ends = append(ends, e)
		}
		defer func() {
			for _, e := range ends {
				e.cluster.SetFaults(mongotest.Faults{})
				require.NoError(t, e.our.Disconnect(t.Context()))
				require.NoError(t, e.app.Disconnect(t.Context()))
			}
			cancel()
			for _, over := range ended {
				assert.NoError(t, <-over)
			}
		}()
		story(t, ends[0], ends[1])
	})
}

func (e *end) connect(user string, login bool) *mongo.Client {
	e.t.Helper()
	uri := e.cluster.URI()
	if login {
		head, query, _ := strings.Cut(strings.TrimPrefix(uri, "mongodb://"), "?")
		uri = "mongodb://" + user + ":p@" + strings.TrimSuffix(head, "/") + "/?authSource=admin&" + query
	}
	client, err := mongoconn.Connect(mongoconn.Config{URI: strings.TrimSuffix(uri, "&"), Dialer: e.cluster.Dialer()})
	require.NoError(e.t, err)
	return client
}

func (e *end) command(db string, cmd bson.D) {
	e.t.Helper()
	require.NoError(e.t, e.our.Database(db).RunCommand(e.t.Context(), cmd).Err(), "%v", cmd)
}

func (e *end) discover() *topology.Cluster {
	e.t.Helper()
	c, err := topology.Discover(e.t.Context(), e.our)
	require.NoError(e.t, err)
	return c
}

// write makes an application's write and reports whether it was taken.
func (e *end) write(ns shardferry.Namespace, doc bson.D) bool {
	e.t.Helper()
	_, err := e.app.Database(ns.DB).Collection(ns.Coll).InsertOne(e.t.Context(), doc)
	if mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked) {
		return false
	}
	require.NoError(e.t, err)
	return true
}

// fails makes a cluster refuse a command for good.
func (e *end) fails(name string) {
	e.cluster.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
		if c.Name == name {
			return mongotest.Fault{Error: &mongotest.ServerError{Code: 13, Message: "not authorized"}}
		}
		return mongotest.Fault{}
	}})
}

// drained brings both ends to where a commit arms the way back: equal, and
// blocked. One collection was dropped on the way.
func drained(t *testing.T, from, to *end) *state.Leg {
	t.Helper()
	from.command("d", bson.D{{"create", "plain"}})
	from.command("d", bson.D{{"create", "log"}, {"capped", true}, {"size", 4096}})
	from.command("d", bson.D{{"create", "gone"}})
	from.command("d", bson.D{{"create", quotas.Coll}})
	if kind := from.discover().Kind; kind == topology.Sharded {
		from.command("admin", bson.D{{"shardCollection", quotas.String()}, {"key", bson.D{{"x", 1}}}})
	}
	plan, err := topology.MakePlan(from.discover(), to.discover())
	require.NoError(t, err)
	require.NoError(t, topology.Create(t.Context(), to.our, plan, quiet))
	leg := &state.Leg{Number: 1, Direction: state.Forward, Collections: plan.Catalogue(shardferry.Route{}, nil)}
	for i := range leg.Collections {
		leg.Collections[i].Dropped = leg.Collections[i].Source.Coll == "gone"
	}
	for _, e := range []*end{from, to} {
		e.command("d", bson.D{{"drop", "gone"}})
		require.NoError(t, mongoconn.SetWriteBlock(t.Context(), e.our, true))
	}
	return leg
}
