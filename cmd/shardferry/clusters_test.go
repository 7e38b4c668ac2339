package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// envInt reads a number that makes a test larger.
func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	v, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return def
	}
	t.Logf("%s=%d", name, v)
	return v
}

// A cluster is a sandbox process.
type cluster struct {
	plain    string // URI without a user
	operator string // URI of a user who may write past a write block
	shards   []string
	client   *mongo.Client // of nobody
	app      *mongo.Client // of an application
	process  *process
	args     []string // it was started with
}

// sandbox starts a simulated cluster of its own ports; 0 shards make a plain
// replica set.
func sandbox(t *testing.T, shards int, more ...string) *cluster {
	t.Helper()
	port := freePort(t, shards+2)
	args := append([]string{"sandbox", "--json", "--port", strconv.Itoa(port)}, more...)
	if shards == 0 {
		args = append(args, "--replica-set")
	} else {
		args = append(args, "--shards", strconv.Itoa(shards))
	}
	return serve(t, args)
}

// serve starts the sandbox of a command line.
func serve(t *testing.T, args []string) *cluster {
	t.Helper()
	p := launch(t, nil, args...)
	ready := p.await("ready")
	c := &cluster{process: p, args: args, plain: ready["uri"].(string), operator: ready["operatorUri"].(string)}
	for _, s := range ready["shards"].([]any) {
		c.shards = append(c.shards, s.(string))
	}
	c.client = connectTo(t, options.Client().ApplyURI(c.plain))
	c.app = connectTo(t, options.Client().ApplyURI(c.plain).SetAuth(options.Credential{
		Username: rehearse.AppName, Password: rehearse.Password, AuthSource: "admin",
	}))
	return c
}

func connectTo(t *testing.T, o *options.ClientOptions) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(o)
	require.NoError(t, err)
	t.Cleanup(func() { // the cluster goes too, or has gone
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// load fills the cluster through its router.
func (c *cluster) load(t *testing.T, docs int) int {
	t.Helper()
	n, err := rehearse.Load(t.Context(), c.app, c.shards, docs, 1)
	require.NoError(t, err)
	return n
}

// slow makes the named commands of shardferry take longer; 0 lifts it.
func (c *cluster) slow(t *testing.T, millis int, commands ...string) {
	t.Helper()
	mode := any("alwaysOn")
	if millis == 0 {
		mode = "off"
	}
	require.NoError(t, c.client.Database("admin").RunCommand(t.Context(), bson.D{
		{"configureFailPoint", "failCommand"},
		{"mode", mode},
		{"data", bson.D{{"failCommands", commands}, {"blockConnection", true}, {"blockTimeMS", millis}, {"appName", "shardferry"}}},
	}).Err())
}

// documents counts what the data set's collections hold.
func (c *cluster) documents(t *testing.T) int64 {
	t.Helper()
	var total int64
	dbs, err := c.client.ListDatabaseNames(t.Context(), bson.D{{"name", bson.D{{"$nin", bson.A{"admin", "config", "local"}}}}})
	require.NoError(t, err)
	for _, db := range dbs {
		colls, err := c.client.Database(db).ListCollectionNames(t.Context(), bson.D{{"type", "collection"}, {"name", bson.D{{"$ne", "system.views"}}}})
		require.NoError(t, err)
		for _, coll := range colls {
			n, err := c.client.Database(db).Collection(coll).CountDocuments(t.Context(), bson.D{})
			require.NoError(t, err)
			total += n
		}
	}
	return total
}

// A mark is how long the oplog of each shard was.
type mark map[string]int64

// written are the oplog entries that a user's command makes; with notes those
// of appendOplogNote too.
func written(notes bool) bson.D {
	user := bson.D{{"op", bson.D{{"$in", bson.A{"i", "u", "d", "c"}}}}, {"ns", bson.D{{"$not", bson.Regex{Pattern: `^(config|local|admin|probe)\.`}}}}}
	if !notes {
		return user
	}
	return bson.D{{"$or", bson.A{user, bson.D{{"op", "n"}, {"o.shardferry", bson.D{{"$exists", true}}}}}}}
}

// mark notes what has been written so far.
func (c *cluster) mark(t *testing.T) mark {
	t.Helper()
	m := mark{}
	for _, notes := range []bool{false, true} {
		for _, s := range c.members(t) {
			n, err := connectTo(t, options.Client().ApplyURI("mongodb://"+s+"/?directConnection=true")).
				Database("local").Collection("oplog.rs").CountDocuments(t.Context(), written(notes))
			require.NoError(t, err)
			m[fmt.Sprint(s, notes)] = n
		}
	}
	return m
}

// unwritten fails if something was written since the mark, or writes are
// blocked. Unless notes is set, oplog notes count as writes.
func (c *cluster) unwritten(t *testing.T, before mark, notes bool) {
	t.Helper()
	for key, n := range c.mark(t) {
		if notes && strings.HasSuffix(key, "true") {
			continue
		}
		assert.Equal(t, before[key], n, "oplog entries of %s", key)
	}
	_, err := c.app.Database("probe").Collection("probe").InsertOne(t.Context(), bson.D{{"_id", 1}})
	require.NoError(t, err, "is a write block left?")
	require.NoError(t, c.app.Database("probe").Drop(t.Context()))
}

// members returns the addresses of the shards' members.
func (c *cluster) members(t *testing.T) []string {
	t.Helper()
	var rows []struct {
		Host string `bson:"host"`
	}
	cur, err := c.client.Database("config").Collection("shards").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	require.NoError(t, cur.All(t.Context(), &rows))
	if len(rows) == 0 {
		_, host, _ := strings.Cut(c.plain, "://")
		host, _, _ = strings.Cut(host, "/")
		return []string{host}
	}
	var out []string
	for _, r := range rows {
		_, host, _ := strings.Cut(r.Host, "/")
		out = append(out, host)
	}
	return out
}

// A move is a sync from one cluster to another with its own data directory and
// port.
type move struct {
	src, dst *cluster
	dir      string
	addr     string
	docs     int
}

func newMove(t *testing.T, docs int) *move {
	t.Helper()
	m := &move{src: sandbox(t, 3, "--name", "source"), dst: sandbox(t, 2, "--name", "destination")}
	m.dir, m.addr = filepath.Join(t.TempDir(), "data"), "127.0.0.1:"+strconv.Itoa(freePort(t, 1))
	m.docs = m.src.load(t, docs)
	return m
}

// sync starts shardferry sync, always with the same command.
func (m *move) sync(t *testing.T, more ...string) *process {
	t.Helper()
	return launch(t, []string{"SHARDFERRY_SOURCE=" + m.src.operator, "SHARDFERRY_DESTINATION=" + m.dst.operator},
		append([]string{"sync", "--data-dir", m.dir, "--api-addr", m.addr, "--json", "--interval", "250ms"}, more...)...)
}

// reach waits until a running sync is where it holds.
func (m *move) reach(t *testing.T, p *process, what string, holds func(api.Progress) bool) api.Progress {
	t.Helper()
	var last api.Progress
	until(t, what, func() bool {
		require.False(t, p.ended(), "it ended before %s: code %d\n%s\n%s", what, p.code, strings.Join(tail(p.lines()), "\n"), p.complaints())
		pr, ok := progress(t.Context(), m.addr)
		if ok {
			last = pr
		}
		return ok && holds(pr)
	})
	return last
}

// equal compares every document by other means than the product's own.
func (m *move) equal(t *testing.T) rehearse.Checked {
	t.Helper()
	c, err := rehearse.Check(t.Context(), m.src.client, m.dst.client)
	require.NoError(t, err)
	require.Empty(t, c.Differences)
	return c
}

// operatorFile writes the operator's URI to a file, for --source-file and
// --destination-file.
func (c *cluster) operatorFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "uri")
	require.NoError(t, os.WriteFile(path, []byte(c.operator+"\n"), 0o600))
	return path
}

func connectURI(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	return connectTo(t, options.Client().ApplyURI(uri))
}
