package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// refused checks that a process ended with one line that holds each of the
// words.
func refused(t *testing.T, p *process, code int, words ...string) {
	t.Helper()
	assert.Equal(t, code, p.wait())
	said := strings.TrimSuffix(p.complaints(), "\n")
	t.Log(said)
	assert.NotContains(t, said, "\n", "more than one line")
	assert.Empty(t, p.event("started"))
	for _, w := range words {
		assert.Contains(t, said, w)
	}
}

func TestWrongUsageIsOneLineAndCode2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const a, b = "mongodb://127.0.0.1:1", "mongodb://127.0.0.1:2"
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"unknown command", []string{"synch"}, `"synch"`},
		{"unknown flag", []string{"sync", "--sauce", a}, "-sauce"},
		{"unknown flag of a command", []string{"pause", "--now"}, "-now"},
		{"an argument", []string{"sync", a, b}, a},
		{"no source", []string{"sync", "--destination", b}, "--source is missing"},
		{"no destination", []string{"sync", "--source", a}, "--destination is missing"},
		{"not a URI", []string{"sync", "--source", "localhost:27017", "--destination", b}, "must begin with mongodb://"},
		{"a wrong port", []string{"sync", "--source", "mongodb://h:port", "--destination", b}, "port"},
		{"a wrong option", []string{"sync", "--source", a + "/?tls=perhaps", "--destination", b}, "source"},
		{"the same URI twice", []string{"sync", "--source", a, "--destination", a}, "the same URI"},
		{"URI and file", []string{"sync", "--source", a, "--source-file", write("uri", a), "--destination", b}, "only one of them"},
		{"no such file", []string{"sync", "--source-file", filepath.Join(dir, "none"), "--destination", b}, "no such file"},
		{"no such config", []string{"sync", "--config", filepath.Join(dir, "none")}, "no such file"},
		{"unknown field in the config", []string{"sync", "--config", write("unknown.yaml", "source: "+a+"\nsauce: "+b+"\n")}, "line 2"},
		{"wrong type in the config", []string{"sync", "--config", write("type.yaml", "lanes: many\n")}, "line 1"},
		{"not YAML", []string{"sync", "--config", write("tabs.yaml", "\tsource: {")}, "tabs.yaml"},
		{"two URIs in the config", []string{"sync", "--config", write("two.yaml", "source: "+a+"\nsourceFile: x\n")}, "only one of them"},
		{"negative lanes", []string{"sync", "--source", a, "--destination", b, "--lanes", "-1"}, "--lanes"},
		{"too many copiers", []string{"sync", "--source", a, "--destination", b, "--copiers", "65"}, "--copiers"},
		{"a wrong level", []string{"sync", "--source", a, "--destination", b, "--log-level", "loud"}, "--log-level"},
		{"no interval", []string{"sync", "--source", a, "--destination", b, "--interval", "0s"}, "--interval"},
		{"no data directory", []string{"sync", "--source", a, "--destination", b, "--data-dir", ""}, "--data-dir"},
		{"no name", []string{"sync", "--source", a, "--destination", b, "--include", ".orders"}, "--include"},
		{"a server's database", []string{"sync", "--source", a, "--destination", b, "--exclude", "admin"}, "excludeNamespaces[0].database"},
		{"users of a part", []string{"sync", "--source", a, "--destination", b, "--with-users", "--include", "shop"}, "--with-users"},
		{"users of a part, by the config", []string{"sync", "--config", write("users.yaml", "source: "+a+"\ndestination: "+b+"\nwithUsers: true\nexcludeNamespaces: [{database: x}]\n")}, "--with-users"},
		{"half a renaming", []string{"sync", "--source", a, "--destination", b, "--rename-database", "shop"}, "FROM=TO"},
		{"half a renaming of a collection", []string{"sync", "--source", a, "--destination", b, "--rename-collection", "shop.orders"}, "DATABASE.COLLECTION=DATABASE.COLLECTION"},
		{"a collection of no database", []string{"start", "--rename-collection", "shop.orders=bills"}, "want database.collection"},
		{"a collection in another database", []string{"start", "--rename-collection", "shop.orders=store.bills"}, "collectionRemap[0]: to.database"},
		{"two collections of one name", []string{"start", "--rename-collection", "a.b=a.d", "--rename-collection", "a.c=a.d"}, "collectionRemap[1]"},
		{"a wrong renaming in the config", []string{"sync", "--config", write("renaming.yaml", "source: "+a+"\ndestination: "+b+"\ncollectionRemap: [{from: {database: a, collection: b}, to: {database: a}}]\n")}, "collectionRemap[0]: to.collection"},
		{"too short an endurance", []string{"chaos", "--endurance", "1s"}, "--endurance"},
		{"a rate of nothing", []string{"chaos", "--rate", "100"}, "--rate"},
		{"two nodes", []string{"chaos", "--nodes", "2"}, "--nodes"},
		{"nodes that endure", []string{"chaos", "--nodes", "3", "--endurance", "1m"}, "--nodes"},
		{"each of one node", []string{"chaos", "--each", "20"}, "--each"},
		{"each of some seeds", []string{"chaos", "--nodes", "3", "--each", "20", "--seeds", "1"}, "--each"},
		{"each of nothing", []string{"chaos", "--nodes", "3", "--each", "0"}, "--each"},
		{"too low a rate", []string{"chaos", "--endurance", "1m", "--rate", "1"}, "--rate"},
		{"half a filter", []string{"start", "--document-filter", "shop.orders"}, "DATABASE.COLLECTION=QUERY"},
		{"a filter that is no document", []string{"start", "--document-filter", "shop.orders=eu"}, "no document in extended JSON"},
		{"a filter by an expression", []string{"start", "--document-filter", `shop.orders={"a":1,"$expr":{"$gt":["$a",1]}}`}, "documentFilters[0]: filter: $expr"},
		{"a filter of what is not selected", []string{"start", "--include", "crm", "--document-filter", `shop.orders={}`}, "shop.orders is not selected"},
		{"a wrong filter in the config", []string{"sync", "--config", write("filter.yaml", "source: "+a+"\ndestination: "+b+"\ndocumentFilters: [{database: a, collection: b, filter: '{\"x\": {\"$near\": [0, 0]}}'}]\n")}, "the operator $near"},
		{"two databases of one name", []string{"start", "--rename-database", "a=c", "--rename-database", "b=c"}, "namespaceRemap[1]"},
		{"a wrong rule in the config", []string{"sync", "--config", write("rule.yaml", "source: "+a+"\ndestination: "+b+"\nincludeNamespaces: [{databaseRegex: {pattern: '('}}]\n")}, "includeNamespaces[0].databaseRegex"},
		{"an open address", []string{"sync", "--source", a, "--destination", b, "--api-addr", "0.0.0.0:1"}, "no tokens (--tokens-file) and no TLS"},
		{"an address without a host", []string{"sync", "--source", a, "--destination", b, "--api-addr", ":1"}, "no tokens"},
		{"an address by name", []string{"sync", "--source", a, "--destination", b, "--api-addr", "ferry.example:1"}, "no tokens"},
		{"tokens in the clear", []string{"sync", "--source", a, "--destination", b, "--api-addr", "10.0.0.1:1", "--tokens-file", "x"}, "no TLS (--api-tls-cert"},
		{"TLS for everybody", []string{"sync", "--source", a, "--destination", b, "--api-addr", "[2001:db8::1]:1", "--api-tls-cert", "x", "--api-tls-key", "x"}, "no tokens (--tokens-file):"},
		{"half of the API's TLS", []string{"sync", "--source", a, "--destination", b, "--api-tls-cert", "x"}, "--api-tls-key"},
		{"authorities without TLS", []string{"sync", "--source", a, "--destination", b, "--api-client-ca", "x"}, "--api-tls-cert"},
		{"no tokens in the file", []string{"sync", "--source", a, "--destination", b, "--tokens-file", write("tokens.yaml", "tokens: []\n")}, "no token in it"},
		{"no tokens file", []string{"sync", "--source", a, "--destination", b, "--tokens-file", filepath.Join(dir, "none")}, "no such file"},
		{"no certificate of the API", []string{"sync", "--source", a, "--destination", b, "--api-tls-cert", filepath.Join(dir, "none"), "--api-tls-key", "x"}, "no such file"},
		{"a token of no role", []string{"token", "new", "--name", "alice", "--role", "king"}, "viewer, operator or admin"},
		{"a token of nobody", []string{"token", "new", "--role", "viewer"}, "--name"},
		{"a token that has expired", []string{"token", "new", "--role", "viewer", "--name", "a", "--expires", "-1h"}, "--expires"},
		{"a token without a word", []string{"token"}, "token new"},
		{"a token of another kind", []string{"token", "old"}, "old"},
		{"an empty token", []string{"pause", "--token-file", write("empty", "\n")}, "nothing in it"},
		{"no such token", []string{"pause", "--token-file", filepath.Join(dir, "none")}, "no such file"},
		{"no such time", []string{"audit", "--since", "yesterday"}, "--since"},
		{"no documents", []string{"demo", "--docs", "0"}, "--docs"},
		{"connections cut without end", []string{"demo", "--nodes", "3", "--drop-connections-every", "1ms"}, "--drop-connections-every"},
		{"connections of one node cut", []string{"demo", "--drop-connections-every", "5s"}, "--nodes"},
		{"no port", []string{"sandbox", "--port", "0"}, "--port"},
		{"half of TLS", []string{"sandbox", "--tls-cert", "x.pem"}, "--tls-key"},
		{"no certificate", []string{"sandbox", "--tls-cert", "none.pem", "--tls-key", "none.pem"}, "none.pem"},
		{"a version that is not simulated", []string{"sandbox", "--server-version", "4.4.0"}, "4.4.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, launch(t, nil, tt.args...), exitUsage, tt.says)
			assert.NoDirExists(t, "shardferry-data")
		})
	}
}

// A refusal is checked on two clusters of which neither may change.
type refusal struct {
	*move
	source, destination mark
}

func (r refusal) check(t *testing.T) {
	t.Helper()
	r.src.unwritten(t, r.source, false)
	r.dst.unwritten(t, r.destination, false)
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	m := newMove(t, 500)
	require.NoError(t, m.src.client.Database("shop").CreateCollection(t.Context(), "prepared"))
	r := refusal{move: m, source: m.src.mark(t), destination: m.dst.mark(t)}

	t.Run("an unreachable source", func(t *testing.T) {
		closed := "mongodb://127.0.0.1:" + strconv.Itoa(freePort(t, 1))
		p := launch(t, nil, "sync", "--source", closed, "--destination", m.dst.operatorFile(t), "--data-dir", t.TempDir(), "--api-addr", m.addr)
		refused(t, p, exitUsage, "destination") // a path is no URI
		p = launch(t, nil, "sync", "--source", closed, "--destination-file", m.dst.operatorFile(t), "--data-dir", t.TempDir(), "--api-addr", m.addr)
		refused(t, p, exitFailed, "source", "cannot be reached", "nothing was changed")
		r.check(t)
	})
	t.Run("a wrong password", func(t *testing.T) {
		p := launch(t, []string{"SHARDFERRY_DESTINATION=" + strings.Replace(m.dst.operator, "rehearsal", "c4n4ry", 1), "SHARDFERRY_SOURCE=" + m.src.operator},
			"sync", "--data-dir", t.TempDir(), "--api-addr", m.addr)
		refused(t, p, exitFailed, "destination", "nothing was changed")
		assert.NotContains(t, p.complaints(), "c4n4ry")
		r.check(t)
	})
	t.Run("a port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", m.addr)
		require.NoError(t, err)
		refused(t, m.sync(t), exitFailed, m.addr, "in use", "nothing was changed", "another address")
		require.NoError(t, l.Close())
		assert.NoDirExists(t, m.dir)
		r.check(t)
	})
	t.Run("a standalone source", func(t *testing.T) {
		p := launch(t, []string{"SHARDFERRY_SOURCE=" + standalone(t), "SHARDFERRY_DESTINATION=" + m.dst.operator}, "sync", "--data-dir", t.TempDir(), "--api-addr", m.addr)
		refused(t, p, exitFailed, "source", "standalone", "rs.initiate", "nothing was changed")
		r.check(t)
	})
	t.Run("the same cluster twice", func(t *testing.T) {
		p := launch(t, []string{"SHARDFERRY_SOURCE=" + m.src.plain, "SHARDFERRY_DESTINATION=" + m.src.operator}, "sync", "--data-dir", t.TempDir(), "--api-addr", m.addr)
		refused(t, p, exitFailed, "same cluster", "nothing was changed")
		assert.NotContains(t, p.complaints(), "drop") // it would be the source that is dropped
		r.check(t)
	})
	t.Run("a data directory that cannot be", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		p := launch(t, []string{"SHARDFERRY_SOURCE=" + m.src.operator, "SHARDFERRY_DESTINATION=" + m.dst.operator}, "sync", "--data-dir", file, "--api-addr", m.addr)
		refused(t, p, exitFailed, file, "nothing was changed")
		r.check(t)
	})
	for name, shown := range map[string]bson.D{
		"timeseries":           {{"type", "timeseries"}, {"options", bson.D{{"timeseries", bson.D{{"timeField", "at"}}}}}},
		"queryable encryption": {{"type", "collection"}, {"options", bson.D{{"encryptedFields", bson.D{{"fields", bson.A{}}}}}}},
	} {
		t.Run("a collection that is not supported: "+name, func(t *testing.T) {
			env := []string{"SHARDFERRY_SOURCE=" + m.src.disguised(t, "prepared", shown), "SHARDFERRY_DESTINATION=" + m.dst.operator}
			p := launch(t, env, "sync", "--data-dir", t.TempDir(), "--api-addr", m.addr)
			refused(t, p, exitFailed, "shop.prepared", name, "nothing was changed")
			r.check(t)
		})
	}
	t.Run("a destination that is not empty", func(t *testing.T) {
		_, err := m.dst.client.Database("old").Collection("left").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		r := refusal{move: m, source: m.src.mark(t), destination: m.dst.mark(t)}
		refused(t, m.sync(t), exitFailed, "not empty", "old.left", "nothing was changed")
		r.check(t)
		require.NoError(t, m.dst.client.Database("old").Drop(t.Context()))
	})
	t.Run("all is mended", func(t *testing.T) { // the directory of a refused sync is not in the way
		p := m.sync(t, "--commit")
		p.await("committed")
		assert.Equal(t, 0, p.wait())
		m.equal(t)
	})
}

func TestDataDirectoryBelongsToOneJob(t *testing.T) {
	t.Parallel()
	m := newMove(t, 500)
	p := m.sync(t)
	p.await("started")
	other := *m
	other.addr = "127.0.0.1:" + strconv.Itoa(freePort(t, 1))
	refused(t, other.sync(t), exitFailed, m.dir, "in use by another process", "nothing was changed", "--data-dir")
	p.terminate()

	other.dst = sandbox(t, 2, "--name", "elsewhere")
	source, destination := m.src.mark(t), other.dst.mark(t)
	refused(t, other.sync(t), exitFailed, m.dir, "another job", "--data-dir", "nothing was changed")
	m.src.unwritten(t, source, false)
	other.dst.unwritten(t, destination, false)

	p = m.sync(t, "--commit") // the job itself goes on
	p.await("resumed")
	p.await("committed")
	assert.Equal(t, 0, p.wait())
	m.equal(t)
}
