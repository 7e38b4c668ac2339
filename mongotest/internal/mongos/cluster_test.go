package mongos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A cluster is three shards, a config server and a router, without sockets.
type cluster struct {
	t       *testing.T
	nodes   map[string]*mongod.Node
	catalog *Catalog
	router  *Router
	client  *command.Client
	lose    func(shard string, req *command.Request) error // nil loses nothing
}

var shardNames = []string{"s0", "s1", "s2"}

func newCluster(t *testing.T) *cluster { return newClusterWith(t, -1) }

// newClusterWith makes a cluster that keeps moved ranges for a while.
func newClusterWith(t *testing.T, orphanDelay time.Duration) *cluster {
	c := &cluster{t: t, nodes: map[string]*mongod.Node{}, client: &command.Client{ID: 1, Addr: "client:1"}}
	for _, id := range append([]string{ConfigShard}, shardNames...) {
		clock := oplog.NewClock()
		log := oplog.NewLog(clock, oplog.Options{})
		c.nodes[id] = mongod.New(mongod.Config{
			Name: id + ":27018", SetName: id, ShardID: id, ConfigServer: id == ConfigShard,
			Engine: storage.NewEngine(log, clock), Log: log, Clock: clock,
		})
	}
	var err error
	shards := make([]Shard, len(shardNames))
	for i, id := range shardNames {
		shards[i] = Shard{ID: id, Host: id + "/" + id + ":27018"}
	}
	c.catalog, err = NewCatalog(CatalogConfig{Shards: shards, ConfigHost: "config/config:27018", Clock: c.nodes[ConfigShard].Clock(), Transport: c.transport, OrphanDelay: orphanDelay})
	require.NoError(t, err)
	for id, n := range c.nodes {
		n.SetSharding(c.catalog.Part(id))
		n.SetPeers(c.transport)
	}
	require.NoError(t, c.catalog.Init(t.Context()))
	c.router, err = NewRouter(Config{Name: "mongos:27017", Catalog: c.catalog, Clock: oplog.NewClock(), Transport: c.transport})
	require.NoError(t, err)
	c.must("admin", bson.D{{"enableSharding", "db"}, {"primaryShard", "s0"}})
	return c
}

func (c *cluster) transport(ctx context.Context, shard string, req *command.Request) (*command.Response, error) {
	if c.lose != nil {
		if err := c.lose(shard, req); err != nil {
			return nil, err
		}
	}
	return c.nodes[shard].Handle(ctx, req)
}

func (c *cluster) run(db string, cmd bson.D) (bson.Raw, error) {
	c.t.Helper()
	resp, err := c.router.Handle(c.t.Context(), &command.Request{Name: cmd[0].Key, DB: db, Body: rawDoc(cmd), Client: c.client})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (c *cluster) must(db string, cmd bson.D) bson.Raw {
	c.t.Helper()
	body, err := c.run(db, cmd)
	require.NoError(c.t, err, "%v", cmd)
	require.Empty(c.t, getDocs(body, "writeErrors"), "%s", body)
	return body
}

func (c *cluster) fails(code mongoerr.Code, db string, cmd bson.D) {
	c.t.Helper()
	_, err := c.run(db, cmd)
	require.Error(c.t, err)
	require.Equal(c.t, code, mongoerr.From(err).Code, "%v", err)
}

// all runs a cursor command to its end.
func (c *cluster) all(db string, cmd bson.D) []bson.Raw {
	c.t.Helper()
	body := c.must(db, cmd)
	docs := getDocs(getDoc(body, "cursor"), "firstBatch")
	for id := getInt(getDoc(body, "cursor"), "id", 0); id != 0; id = getInt(getDoc(body, "cursor"), "id", 0) {
		_, coll, _ := splitNS(getString(getDoc(body, "cursor"), "ns"))
		body = c.must(db, bson.D{{"getMore", id}, {"collection", coll}})
		docs = append(docs, getDocs(getDoc(body, "cursor"), "nextBatch")...)
	}
	return docs
}

func (c *cluster) insert(coll string, docs ...bson.D) {
	c.t.Helper()
	c.must("db", bson.D{{"insert", coll}, {"documents", docs}})
}

// sharded makes db.coll sharded by {k: 1} with a chunk per shard: below 0 on
// s0, up to 100 on s1, the rest on s2.
func (c *cluster) sharded(coll string) {
	c.t.Helper()
	ns := "db." + coll
	c.must("admin", bson.D{{"shardCollection", ns}, {"key", bson.D{{"k", 1}}}})
	for _, at := range []int{0, 100} {
		c.must("admin", bson.D{{"split", ns}, {"middle", bson.D{{"k", at}}}})
	}
	c.move(coll, 0, "s1")
	c.move(coll, 100, "s2")
}

func (c *cluster) move(coll string, k int, to string) {
	c.t.Helper()
	c.must("admin", bson.D{{"moveChunk", "db." + coll}, {"find", bson.D{{"k", k}}}, {"to", to}})
}

// on returns what a shard holds of db.coll, orphans included.
func (c *cluster) on(shard, coll string) []bson.Raw {
	c.t.Helper()
	resp, err := c.nodes[shard].Handle(c.t.Context(), &command.Request{
		Name: "find", DB: "db", Client: c.client, Body: rawDoc(bson.D{{"find", coll}, {"batchSize", int32(100000)}}),
	})
	require.NoError(c.t, err)
	return getDocs(getDoc(resp.Body, "cursor"), "firstBatch")
}

// ids returns the integer _ids of documents, sorted.
func ids(docs []bson.Raw) []int64 {
	out := []int64{}
	for _, d := range docs {
		out = append(out, getInt(d, "_id", -1))
	}
	slices.Sort(out)
	return out
}

// A watcher reads a change stream.
type watcher struct {
	c    *cluster
	id   int64
	coll string
}

func (c *cluster) watch(extra ...bson.E) *watcher {
	c.t.Helper()
	cmd := bson.D{{"aggregate", int32(1)}, {"cursor", bson.D{}}, {"pipeline", bson.A{
		bson.D{{"$changeStream", bson.D{{"allChangesForCluster", true}, {"showExpandedEvents", true}}}},
	}}}
	body := c.must("admin", append(cmd, extra...))
	cur := getDoc(body, "cursor")
	return &watcher{c: c, id: getInt(cur, "id", 0), coll: "$cmd.aggregate"}
}

// events returns all events so far: the shards note the present, and the
// stream is read until it is past that.
func (w *watcher) events() []bson.Raw {
	w.c.t.Helper()
	w.c.must("admin", bson.D{{"appendOplogNote", int32(1)}, {"data", bson.D{{"msg", "test"}}}})
	var docs []bson.Raw
	for empty := 0; empty < 2; {
		body := w.c.must("admin", bson.D{{"getMore", w.id}, {"collection", w.coll}, {"maxTimeMS", int32(1)}})
		batch := getDocs(getDoc(body, "cursor"), "nextBatch")
		docs = append(docs, batch...)
		if len(batch) == 0 {
			empty++
		}
	}
	return docs
}

// summary is an event as "operationType _id" or "operationType coll".
func summary(events []bson.Raw) []string {
	out := []string{}
	for _, e := range events {
		s := getString(e, "operationType")
		if key := getDoc(e, "documentKey"); key != nil {
			id, _ := value.Get(key, "_id")
			s = fmt.Sprintf("%s %v", s, id)
		} else {
			s += " " + getString(getDoc(e, "ns"), "coll")
		}
		out = append(out, s)
	}
	return out
}

// runNodes lets the nodes do their background work for a while.
func (c *cluster) runNodes(d time.Duration) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var nodes sync.WaitGroup
	for _, n := range c.nodes {
		nodes.Go(func() { n.Run(ctx) })
	}
	time.Sleep(d)
	cancel()
	nodes.Wait()
}

// direct is a command of a client that is connected to a shard.
func (c *cluster) direct(db string, cmd bson.D) *command.Request {
	return &command.Request{Name: cmd[0].Key, DB: db, Body: rawDoc(cmd), Client: c.client}
}
