package mongotest

import (
	"strconv"
	"strings"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongos"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A replicaSet is one shard, the config server, or all of a cluster without
// shards.
type replicaSet struct {
	id      string    // the shard's id; the set's name
	members []*member // the first one is the primary in the beginning
	disk    *disk.Log // nil in memory
	alone   bool      // it was started by itself, not with the cluster
}

// A member is one process of a replica set.
type member struct {
	addr string
	node *mongod.Node
}

// newSet makes a replica set of as many members as the options say.
func (c *Cluster) newSet(id string, addrs *addresses, sharded bool, more ...func(*mongod.Config)) *replicaSet {
	clock := oplog.NewClock()
	log := oplog.NewLog(clock, oplog.Options{MaxEntries: c.opts.OplogEntries})
	host := id + "-"
	addr := addrs.take(host + "0")
	cfg := mongod.Config{
		Name:            addr,
		SetName:         id,
		Version:         c.version,
		ConfigServer:    id == mongos.ConfigShard,
		Engine:          storage.NewEngine(log, clock),
		Log:             log,
		Clock:           clock,
		NoopInterval:    c.opts.NoopInterval,
		TTLInterval:     c.opts.TTLInterval,
		ElectionTimeout: c.opts.ElectionTimeout,
		Logger:          c.opts.Logger.With("set", id),
	}
	if sharded {
		cfg.ShardID = id
	}
	for _, f := range more {
		f(&cfg)
	}
	s := &replicaSet{id: id, members: []*member{{addr: addr, node: mongod.New(cfg)}}}
	for i := 1; i < c.opts.Members; i++ {
		addr := addrs.take(host + strconv.Itoa(i))
		s.members = append(s.members, &member{addr: addr, node: s.any().Join(addr, failpoint.NewSet())})
	}
	return s
}

// any returns a member's node, for what all members have in common.
func (s *replicaSet) any() *mongod.Node { return s.members[0].node }

// log returns the oplog of the latest term.
func (s *replicaSet) log() *oplog.Log { return s.any().Set().Log() }

// primary returns the member that takes writes, nil while there is none.
func (s *replicaSet) primary() *member {
	if all := s.primaries(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// primaries returns the members that take themselves for the primary, the latest
// first. The only member of a set is asked whatever it is.
func (s *replicaSet) primaries() []*member {
	if len(s.members) == 1 {
		return s.members
	}
	var out []*member
	for _, node := range s.any().Set().Primaries() {
		for _, m := range s.members {
			if m.node == node {
				out = append(out, m)
			}
		}
	}
	return out
}

// hosts returns the members' addresses with commas.
func (s *replicaSet) hosts() string {
	addrs := make([]string, len(s.members))
	for i, m := range s.members {
		addrs[i] = m.addr
	}
	return strings.Join(addrs, ",")
}
