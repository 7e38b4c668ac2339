package mongotest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongos"
	"github.com/shardferry/shardferry/mongotest/internal/release"
)

// Options say what cluster New makes. The zero value is a replica set of one
// member that anybody may use.
type Options struct {
	// Name tells clusters apart; it is part of every host name. Letters,
	// digits and hyphens; "cluster" if empty.
	Name string
	// Shards is the number of shards; 0 makes one plain replica set.
	Shards int
	// Spares is the number of replica sets beside the shards of a sharded
	// cluster that wait for addShard. They are named as the shards are.
	Spares int
	// ReplicaSets are started beside a sharded cluster and are not part of it:
	// each has data and clients of its own, until addShard takes it.
	ReplicaSets []ReplicaSet
	// Mongos is the number of routers of a sharded cluster; 0 means 1.
	Mongos int
	// Members is the number of members of each replica set, the config server's
	// too; 0 means 1.
	Members int
	// Version is the server version the cluster claims to be; "8.0.4" if
	// empty. A series, such as "7.0", stands for a release of it. Nothing older
	// than 6.0 is simulated.
	Version string

	// Users may log in. Without RequireAuth logging in is optional, and anyone
	// may do anything but write past a write block, as on a real server
	// without access control.
	Users       []User
	RequireAuth bool

	// TLS makes every connection begin with a handshake. With ClientCAs and
	// ClientAuth tls.VerifyClientCertIfGiven, a client may log in with its
	// certificate (MONGODB-X509) as the user of $external whose name is the
	// certificate's subject.
	TLS *tls.Config

	// OplogEntries bounds each oplog; the oldest entries roll over. 0 is no
	// bound.
	OplogEntries int
	// NoopInterval is how long a node's oplog stays silent before a no-op is
	// written: 10 s if zero, never if negative.
	NoopInterval time.Duration
	// ElectionTimeout is how long a replica set of several members waits for a
	// lost primary: 10 s if zero.
	ElectionTimeout time.Duration
	// TTLInterval is how often expired documents are deleted: 60 s if zero,
	// never if negative.
	TTLInterval time.Duration

	// OrphanDelay is how long the documents of a chunk that has moved stay on
	// the shard it left, where only those see them who read that shard directly:
	// 15 min if zero, not at all if negative.
	OrphanDelay time.Duration

	// FaultCommands lets clients disturb the cluster with the command simulate;
	// otherwise no process knows it.
	FaultCommands bool

	// Listen makes the cluster known under TCP addresses: the first router, or
	// the replica set's member, at this host:port, everything else at the
	// ports that follow. ListenAndServe then serves them. Empty means names
	// that only the cluster's Dialer knows.
	Listen string

	// DBPath keeps the cluster in this directory, which is made if it is not
	// there: it may then be larger than memory, and another cluster of the same
	// shape and DBPath goes on where this one ended. One process at a time may
	// have it open. Empty keeps everything in memory.
	DBPath string

	// Logger gets one line per connection that ends badly; nil discards.
	Logger *slog.Logger
}

// A ReplicaSet is one that was started by itself. Its members are as many as
// Options.Members says.
type ReplicaSet struct {
	Name string
	// ShardServer is --shardsvr, without which it cannot become a shard.
	ShardServer bool
	// Taken makes it a shard of some other cluster.
	Taken bool
}

// A User is somebody who may log in with SCRAM-SHA-1 or SCRAM-SHA-256, or with a
// certificate if DB is "$external" and Name the certificate's subject. DB is the
// authentication database, "admin" if empty. A Role without a database is one
// of DB. Every node keeps the users, as createUser would on each of them.
type User struct {
	Name     string
	Password string
	DB       string
	Roles    []Role
}

// A Role is a role's name in a database.
type Role struct{ Role, DB string }

// maxMembers is how many members of a replica set may vote.
const maxMembers = 7

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]*$`)

// withDefaults checks o and fills in what is empty.
func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = "cluster"
	}
	if !namePattern.MatchString(o.Name) {
		return o, fmt.Errorf("mongotest: name %q must be of letters, digits and hyphens", o.Name)
	}
	if o.Shards < 0 || o.Spares < 0 || o.Mongos < 0 || o.OplogEntries < 0 {
		return o, fmt.Errorf("mongotest: negative number among %d shards, %d spares, %d routers, %d oplog entries", o.Shards, o.Spares, o.Mongos, o.OplogEntries)
	}
	if err := o.checkSets(); err != nil {
		return o, err
	}
	if o.Shards == 0 && o.Mongos > 0 {
		return o, fmt.Errorf("mongotest: %d routers but no shards", o.Mongos)
	}
	if o.Members < 0 || o.Members > maxMembers {
		return o, fmt.Errorf("mongotest: %d members; a replica set has 1 to %d that vote", o.Members, maxMembers)
	}
	if o.Members == 0 {
		o.Members = 1
	}
	if o.Shards > 0 && o.Mongos == 0 {
		o.Mongos = 1
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// setPattern is what a replica set may be called that is not made with the
// cluster.
var setPattern = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (o Options) checkSets() error {
	if len(o.ReplicaSets) > 0 && o.Shards == 0 {
		return errors.New("mongotest: replica sets beside a cluster, but no cluster")
	}
	seen := map[string]bool{mongos.ConfigShard: true}
	for i := range o.Shards + o.Spares {
		seen[shardName(i)] = true
	}
	for _, s := range o.ReplicaSets {
		if !setPattern.MatchString(s.Name) || seen[s.Name] {
			return fmt.Errorf("mongotest: replica set %q: want a name of small letters, digits and hyphens that no other set has", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

func shardName(i int) string { return "shard" + strconv.Itoa(i) }

// release returns the version: of a series its fourth release.
func (o Options) release() (release.Version, error) {
	if o.Version == "" {
		return release.Default, nil
	}
	if strings.Count(o.Version, ".") == 1 {
		o.Version += ".4"
	}
	v, err := release.Parse(o.Version)
	if err != nil || !v.AtLeast(6, 0) {
		return v, fmt.Errorf("mongotest: version %q: want 6.0, 7.0 or 8.0, or a release of these", o.Version)
	}
	return v, nil
}

// addresses gives out the host:port of each process of the cluster, in the
// order in which they are asked for.
type addresses struct {
	domain string // of the in-memory names
	host   string // of the TCP addresses, empty for in-memory names
	next   int
}

func newAddresses(o Options) (*addresses, error) {
	a := &addresses{domain: o.Name + ".sim"}
	if o.Listen == "" {
		return a, nil
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("mongotest: listen address: %w", err)
	}
	a.next, err = strconv.Atoi(port)
	if err != nil || host == "" || a.next <= 0 {
		return nil, fmt.Errorf("mongotest: listen address %q: a host and a port above 0 are needed, for they name the members", o.Listen)
	}
	a.host = host
	return a, nil
}

// take returns the address of the process called name.
func (a *addresses) take(name string) string {
	if a.host == "" {
		return name + "." + a.domain + ":27017"
	}
	addr := net.JoinHostPort(a.host, strconv.Itoa(a.next))
	a.next++
	return addr
}
