package node_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/mongotest"
)

// A stage is two clusters and a node between them, in virtual time.
type stage struct {
	t        *testing.T
	src, dst *mongotest.Cluster
	from, to *mongo.Client // may write past a write block
	app      *mongo.Client // of the source, may not
	node     *node.Node
}

var users = []mongotest.User{
	{Name: "operator", Password: "p", DB: "admin", Roles: []mongotest.Role{{Role: "root", DB: "admin"}}},
	{Name: "app", Password: "p", DB: "admin", Roles: []mongotest.Role{{Role: "readWriteAnyDatabase", DB: "admin"}}},
}

func uri(c *mongotest.Cluster, user string) string {
	u := strings.Replace(c.URI(), "mongodb://", "mongodb://"+user+":p@", 1)
	if strings.Contains(u, "?") {
		return u + "&authSource=admin"
	}
	return strings.TrimSuffix(u, "/") + "/?authSource=admin"
}

func bubble(t *testing.T, srcShards, dstShards int, story func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var stop []func()
		defer func() {
			for i := len(stop) - 1; i >= 0; i-- {
				stop[i]()
			}
		}()
		background := func(run func(ctx context.Context) error) {
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := run(ctx); ctx.Err() == nil {
					assert.NoError(t, err)
				}
			})
			stop = append(stop, func() { cancel(); wg.Wait() })
		}
		connect := func(c *mongotest.Cluster, user string) *mongo.Client {
			cl, err := mongoconn.Connect(mongoconn.Config{URI: uri(c, user), Dialer: c.Dialer()})
			require.NoError(t, err)
			stop = append(stop, func() { assert.NoError(t, cl.Disconnect(t.Context())) })
			return cl
		}
		s := &stage{t: t}
		var err error
		s.src, err = mongotest.New(mongotest.Options{Name: "source", Shards: srcShards, Users: users})
		require.NoError(t, err)
		s.dst, err = mongotest.New(mongotest.Options{Name: "destination", Shards: dstShards, Users: users})
		require.NoError(t, err)
		background(s.src.Run)
		background(s.dst.Run)
		<-s.src.Ready()
		<-s.dst.Ready()
		s.from, s.to, s.app = connect(s.src, "operator"), connect(s.dst, "operator"), connect(s.src, "app")
		s.node, err = node.New(node.Config{
			Source:      mongoconn.Config{URI: uri(s.src, "operator"), Dialer: s.src.Dialer()},
			Destination: mongoconn.Config{URI: uri(s.dst, "operator"), Dialer: s.dst.Dialer()},
		})
		require.NoError(t, err)
		background(s.node.Run)
		<-s.node.Ready()
		story(t, s)
	})
}

func (s *stage) command(cl *mongo.Client, cmd bson.D) {
	s.t.Helper()
	require.NoError(s.t, cl.Database("admin").RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
}

func (s *stage) start() {
	s.t.Helper()
	require.NoError(s.t, s.node.Start(s.t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
}

// reach waits until the sync is in a state.
func (s *stage) reach(want shardferry.State) {
	s.t.Helper()
	for range 600 {
		st, _ := s.node.State()
		if st.State == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	st, _ := s.node.State()
	s.t.Fatalf("after a minute it is %s, not %s: %s, last %+v", st.State, want, st.Hold, st.Last)
}

func (s *stage) commit() {
	s.t.Helper()
	var err error
	for range 60 {
		if err = s.node.Commit(s.t.Context(), "test"); err == nil {
			return
		}
		time.Sleep(time.Second)
	}
	require.NoError(s.t, err)
}

// docs lists the documents of d.c.
func docs(t *testing.T, cl *mongo.Client) (all []string) {
	t.Helper()
	cur, err := cl.Database("d").Collection("c").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	for cur.Next(t.Context()) {
		all = append(all, cur.Current.String())
	}
	require.NoError(t, cur.Err())
	return all
}

// A chunk that the balancer moves while the sync is being planned does not put
// the events of its documents out of order.
func TestTheBalancerStopsBeforeThePlan(t *testing.T) {
	bubble(t, 2, 0, func(t *testing.T, s *stage) {
		s.command(s.from, bson.D{{"balancerStart", 1}})
		s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", s.src.Shards()[0]}})
		s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
		coll := s.from.Database("d").Collection("c")
		for i := range 20 {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}, {"x", i}, {"v", 0}})
			require.NoError(t, err)
		}
		write := func(v int) {
			for i := range 20 {
				_, err := coll.ReplaceOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"_id", i}, {"x", i}, {"v", v}})
				require.NoError(t, err)
			}
		}
		var once sync.Once
		s.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			if c.Name == "create" { // the plan is made, no worker runs yet
				once.Do(func() {
					// What a balancer does, as long as nobody has stopped it.
					status, err := s.from.Database("admin").RunCommand(t.Context(), bson.D{{"balancerStatus", 1}}).Raw()
					if err != nil || status.Lookup("mode").StringValue() == "off" {
						return
					}
					write(1)
					s.command(s.from, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"x", 1}}}, {"to", s.src.Shards()[1]}})
					write(2)
				})
			}
			return mongotest.Fault{}
		}})
		// The worker of the old owner is late.
		first := s.src.Shards()[0]
		s.src.SetFaults(mongotest.Faults{Route: func(c mongotest.Command) mongotest.Fault {
			if (c.Name == "aggregate" || c.Name == "getMore") && strings.Contains(c.Addr, first) {
				return mongotest.Fault{Delay: 2 * time.Second}
			}
			return mongotest.Fault{}
		}})
		s.start()
		time.Sleep(30 * time.Second)
		s.src.SetFaults(mongotest.Faults{})
		assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}

// A transaction that is open when the source is blocked is on the destination if
// it is committed, however late.
func TestACommitWaitsForOpenTransactions(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			bubble(t, shards, shards, func(t *testing.T, s *stage) {
				coll := s.app.Database("d").Collection("c")
				for i := range 20 {
					_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}})
					require.NoError(t, err)
				}
				s.start()
				time.Sleep(10 * time.Second)
				sess, err := s.app.StartSession()
				require.NoError(t, err)
				defer sess.EndSession(t.Context())
				require.NoError(t, sess.StartTransaction())
				sctx := mongo.NewSessionContext(t.Context(), sess)
				_, err = coll.InsertOne(sctx, bson.D{{"_id", "late"}})
				require.NoError(t, err)
				s.commit()
				time.Sleep(3 * time.Second)
				committed := sess.CommitTransaction(sctx)
				t.Logf("the transaction ended with %v", committed)
				s.reach(shardferry.StateCommitted)
				if committed == nil {
					assert.Contains(t, strings.Join(docs(t, s.to), " "), "late")
				}
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
			})
		})
	}
}

// A schema change that cannot be carried over stops the sync, and once it is
// undone on the source the sync goes on.
func TestAnUnsupportedSchemaChangeCanBeUndone(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		_, err := s.from.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		s.start()
		time.Sleep(10 * time.Second)
		cmd := bson.D{{"create", "names"}, {"encryptedFields", bson.D{{"fields", bson.A{}}}}}
		require.NoError(t, s.from.Database("d").RunCommand(t.Context(), cmd).Err())
		_, err = s.from.Database("d").Collection("names").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		s.reach(shardferry.StatePaused)
		require.NoError(t, s.from.Database("d").Collection("names").Drop(t.Context()))
		require.NoError(t, s.node.Resume(t.Context(), "test"))
		time.Sleep(10 * time.Second)
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}
