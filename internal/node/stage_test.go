package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/mongotest"
)

// A setting is what a stage begins with. The zero value is two replica sets, a
// node that may do everything, and nothing on disk.
type setting struct {
	srcShards, dstShards int
	srcUser, dstUser     string // as whom the node logs in; default operator
	dir                  string // what outlives the node; needed where it is killed
	batchDocs            int
	spares               int    // replica sets that wait to become shards of the source
	srcVersion           string // default 8.0
	dstVersion           string
	dstUsers             []mongotest.User // of the destination; default users
	auth                 bool             // users may do what their roles allow, and nothing else
	oplog                int              // entries that an oplog of the source holds; 0: all
}

// A stage is two clusters and a node between them, in virtual time.
type stage struct {
	setting
	t        *testing.T
	src, dst *mongotest.Cluster
	from, to *mongo.Client // may write past a write block
	app      *mongo.Client // of the source, may not
	guest    *mongo.Client // of the destination, may not
	node     *node.Node
	ended    chan error
	cancel   context.CancelCauseFunc
	faults   faults
	cluster  func(name string, shards int) *mongotest.Cluster // runs until the story is over
}

var users = []mongotest.User{
	{Name: "operator", Password: "p", DB: "admin", Roles: []mongotest.Role{{Role: "root", DB: "admin"}}},
	{Name: "app", Password: "p", DB: "admin", Roles: []mongotest.Role{{Role: "readWriteAnyDatabase", DB: "admin"}}},
	{Name: "clerk", Password: "p", DB: "admin", Roles: []mongotest.Role{{Role: "clusterAdmin", DB: "admin"}, {Role: "readWriteAnyDatabase", DB: "admin"}}},
}

var (
	unique   = options.Index().SetUnique(true)
	expiring = options.Index().SetExpireAfterSeconds(3600)
)

func uri(c *mongotest.Cluster, user string) string {
	u := strings.Replace(c.URI(), "mongodb://", "mongodb://"+user+":p@", 1)
	if strings.Contains(u, "?") {
		return u + "&authSource=admin"
	}
	return strings.TrimSuffix(u, "/") + "/?authSource=admin"
}

// bubble runs a story on a stage whose node is ready.
func bubble(t *testing.T, srcShards, dstShards int, story func(t *testing.T, s *stage)) {
	t.Helper()
	play(t, setting{srcShards: srcShards, dstShards: dstShards}, func(t *testing.T, s *stage) {
		s.up()
		story(t, s)
	})
}

// play runs a story on a stage whose node is not up yet.
func play(t *testing.T, set setting, story func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{setting: set, t: t}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		s.cluster = func(name string, shards int) *mongotest.Cluster {
			o := mongotest.Options{Name: name, Shards: shards, Users: users, RequireAuth: set.auth}
			switch name {
			case "source":
				o.OplogEntries, o.Spares, o.Version = set.oplog, set.spares, set.srcVersion
			case "destination":
				o.Version = set.dstVersion
				if set.dstUsers != nil {
					o.Users = set.dstUsers
				}
			}
			c, err := mongotest.New(o)
			require.NoError(t, err)
			running.Go(func() { assert.NoError(t, c.Run(ctx)) })
			<-c.Ready()
			return c
		}
		s.src, s.dst = s.cluster("source", set.srcShards), s.cluster("destination", set.dstShards)
		s.faults.install(s.src, s.dst)
		for _, c := range []struct {
			client **mongo.Client
			of     *mongotest.Cluster
			user   string
		}{{&s.from, s.src, "operator"}, {&s.to, s.dst, "operator"}, {&s.app, s.src, "app"}, {&s.guest, s.dst, "app"}} {
			var err error
			*c.client, err = mongoconn.Connect(mongoconn.Config{URI: uri(c.of, c.user), Dialer: c.of.Dialer(), AppName: c.user})
			require.NoError(t, err)
			defer func() { assert.NoError(t, (*c.client).Disconnect(ctx)) }()
		}
		defer func() {
			s.faults.set(nil)
			s.down()
			assert.Empty(t, s.faults.twice)
		}()
		story(t, s)
	})
}

// config is that of the next node on this stage.
func (s *stage) config() node.Config {
	as := func(c *mongotest.Cluster, user string) mongoconn.Config {
		if user == "" {
			user = "operator"
		}
		return mongoconn.Config{URI: uri(c, user), Dialer: c.Dialer(), AppName: s.faults.life()}
	}
	return node.Config{Source: as(s.src, s.srcUser), Destination: as(s.dst, s.dstUser), DataDir: s.dir, BatchDocs: s.batchDocs}
}

// run starts a node, which may end by itself.
func (s *stage) run(cfg node.Config) {
	s.t.Helper()
	var err error
	s.node, err = node.New(cfg)
	require.NoError(s.t, err)
	s.faults.of(s.node)
	var ctx context.Context
	ctx, s.cancel = context.WithCancelCause(s.t.Context())
	s.ended = make(chan error, 1)
	go func(n *node.Node, ended chan<- error) { ended <- n.Run(ctx) }(s.node, s.ended)
}

// up starts a node and waits until it takes commands.
func (s *stage) up() {
	s.t.Helper()
	s.run(s.config())
	select {
	case <-s.node.Ready():
	case err := <-s.ended:
		s.cancel = nil
		require.NoError(s.t, err)
	}
}

var errToldToStop = errors.New("the node was told to stop")

// down ends the node in an orderly way.
func (s *stage) down() {
	if s.cancel == nil {
		return
	}
	s.cancel(errToldToStop)
	assert.ErrorIs(s.t, <-s.ended, errToldToStop)
	s.cancel = nil
}

// end waits until the node ends by itself.
func (s *stage) end() error {
	s.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	select {
	case err := <-s.ended:
		s.cancel = nil
		return err
	case <-limit.C:
		s.t.Fatal("the node does not end")
		return nil
	}
}

// kill ends the node as kill -9 does: the clusters hear nothing more of it, and
// its data directory stays as it is at this moment.
func (s *stage) kill() {
	s.t.Helper()
	s.faults.end()
	s.faults.set(nil)
	synctest.Wait() // nobody is in the middle of a write to the disk
	image, err := os.MkdirTemp(filepath.Dir(s.dir), "image")
	require.NoError(s.t, err)
	require.NoError(s.t, os.CopyFS(image, os.DirFS(s.dir)))
	s.down()
	require.NoError(s.t, os.RemoveAll(s.dir))
	require.NoError(s.t, os.Rename(image, s.dir))
}

func (s *stage) command(cl *mongo.Client, cmd bson.D) {
	s.t.Helper()
	require.NoError(s.t, cl.Database("admin").RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
}

func (s *stage) start() {
	s.t.Helper()
	require.NoError(s.t, s.node.Start(s.t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
}

// until waits until the recorded state is as wanted.
func (s *stage) until(what string, holds func(st *state.Sync) bool) *state.Sync {
	s.t.Helper()
	for range 600 {
		if st, _ := s.node.State(); holds(st) {
			return st
		}
		time.Sleep(100 * time.Millisecond)
	}
	st, _ := s.node.State()
	s.t.Fatalf("after a minute there is no %s: it is %s %s, %s, barrier %+v, last %+v", what, st.State, st.Leg.Phase, st.Hold, st.Leg.Barrier, st.Last)
	return nil
}

// meets waits for a moment that a fault was prepared for.
func (s *stage) meets(moment <-chan struct{}) {
	s.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	select {
	case <-moment:
	case <-limit.C:
		st, _ := s.node.State()
		s.t.Fatalf("the moment never came: it is %s %s, %s, cutover %+v, last %+v", st.State, st.Leg.Phase, st.Hold, st.Leg.Cutover, st.Last)
	}
}

// reach waits until the sync is in a state.
func (s *stage) reach(want shardferry.State) *state.Sync {
	s.t.Helper()
	return s.until(string(want), func(st *state.Sync) bool { return st.State == want })
}

// stream waits until only changes are left.
func (s *stage) stream() {
	s.t.Helper()
	s.until("stream", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseStreaming })
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

// insert makes an application insert documents {_id, x: _id} into d.c.
func (s *stage) insert(cl *mongo.Client, ids ...int) error {
	all := make([]any, 0, len(ids))
	for _, id := range ids {
		all = append(all, bson.D{{"_id", id}, {"x", id}})
	}
	_, err := cl.Database("d").Collection("c").InsertMany(s.t.Context(), all)
	return err
}

// equal asks the node to compare the clusters.
func (s *stage) equal() {
	s.t.Helper()
	report, err := s.node.Verify(s.t.Context())
	require.NoError(s.t, err)
	assert.Empty(s.t, report.Differences)
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

// upTo returns 0, 1, ..., n-1.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
