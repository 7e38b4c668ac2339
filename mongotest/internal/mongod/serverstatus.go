package mongod

import (
	"context"
	"runtime"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A section is a part of serverStatus that can be left out or asked for.
type section struct {
	name     string
	optional bool // shown only if asked for
	make     func(op *operation) bson.Raw
}

func statusSections() []section {
	return []section{
		{"asserts", false, func(*operation) bson.Raw {
			return value.D("regular", 0, "warning", 0, "msg", 0, "user", 0, "tripwire", 0, "rollovers", 0)
		}},
		{"catalogStats", false, (*operation).catalogStats},
		{"connections", false, (*operation).connectionStats},
		{"electionMetrics", false, func(*operation) bson.Raw { return emptyDoc() }},
		{"extra_info", false, func(*operation) bson.Raw {
			return value.D("note", "fields vary by platform", "page_faults", int64(0))
		}},
		{"globalLock", false, (*operation).globalLock},
		{"locks", false, func(*operation) bson.Raw { return emptyDoc() }},
		{"logicalSessionRecordCache", false, func(op *operation) bson.Raw {
			return value.D("activeSessionsCount", len(op.line.sessions.list()))
		}},
		{"metrics", false, func(op *operation) bson.Raw {
			return value.D("cursor", value.D("timedOut", int64(0), "open", value.D(
				"noTimeout", int64(0), "pinned", int64(0), "total", int64(op.node.cursors.len()))))
		}},
		{"mirroredReads", true, func(*operation) bson.Raw { return value.D("seen", int64(0), "sent", int64(0)) }},
		{"network", false, (*operation).networkStats},
		{"opLatencies", false, (*operation).opLatencies},
		{"opcounters", false, (*operation).opCounters},
		{"opcountersRepl", false, func(*operation) bson.Raw {
			zero := int64(0)
			return value.D("insert", zero, "query", zero, "update", zero, "delete", zero, "getmore", zero, "command", zero)
		}},
		{"repl", false, (*operation).replStatus},
		{"storageEngine", false, func(*operation) bson.Raw {
			return value.D("name", "wiredTiger", "supportsCommittedReads", true, "oldestRequiredTimestampForCrashRecovery", bson.Timestamp{},
				"supportsPendingDrops", true, "dropPendingIdents", int64(0), "supportsSnapshotReadConcern", true, "readOnly", false,
				"persistent", true, "backupCursorOpen", false)
		}},
		{"transactions", false, (*operation).transactionStats},
		{"mem", false, memoryStats},
	}
}

func runServerStatus(_ context.Context, op *operation) (bson.Raw, error) {
	n := op.node
	up := time.Since(n.records.began)
	pairs := []any{
		"host", n.cfg.Name, "version", n.cfg.Version.String(), "process", "mongod", "service", value.A("shard"), "pid", int64(1),
		"uptime", up.Seconds(), "uptimeMillis", up.Milliseconds(), "uptimeEstimate", int64(up.Seconds()), "localTime", op.node.now(),
	}
	for _, s := range statusSections() {
		shown := !s.optional
		if v := op.req.Body.Lookup(s.name); v.Type != 0 {
			shown = value.Truthy(v)
		}
		if shown {
			pairs = append(pairs, s.name, s.make(op))
		}
	}
	if op.args().bool("oplog", false) {
		term := op.line.log.Term()
		pairs = append(pairs, "oplog", value.D(
			"earliestOptime", value.D("ts", op.line.log.First(), "t", term), "latestOptime", value.D("ts", n.applied(), "t", term)))
	}
	return value.D(pairs...), nil
}

func (op *operation) replStatus() bson.Raw {
	n := op.node
	s := n.topo.state()
	blockMode := 1 // disabled; 2 is enabled
	if op.line.block.isOn() {
		blockMode = 2
	}
	return value.D("setName", n.cfg.SetName, "setVersion", replSetVersion, "isWritablePrimary", s.primary, "secondary", !s.primary,
		"hosts", n.set.hosts(), "me", n.cfg.Name, "electionId", s.electionID(), "lastWrite", n.lastWrite(s.term),
		"rbid", 1, "userWriteBlockMode", blockMode)
}

func (op *operation) catalogStats() bson.Raw {
	var colls, capped, clustered, views, internal int
	_ = op.view(func(tx *storage.Tx) error { // which looks only, and cannot fail
		for _, db := range tx.Databases() {
			for _, c := range tx.Collections(db) {
				switch {
				case isInternalDB(db):
					internal++
				case c.IsView():
					views++
				default:
					colls++
				}
				if c.Capped() {
					capped++
				}
				if c.Clustered() {
					clustered++
				}
			}
		}
		return nil
	})
	return value.D("collections", colls, "capped", capped, "clustered", clustered, "timeseries", 0, "views", views,
		"internalCollections", internal, "internalViews", 0, "systemProfile", 0)
}

func (op *operation) connectionStats() bson.Raw {
	running := len(op.node.ops.list())
	return value.D("current", running, "available", 100_000, "totalCreated", running, "rejected", 0, "active", running, "threaded", running,
		"exhaustIsMaster", int64(0), "exhaustHello", int64(0), "awaitingTopologyChanges", int64(0))
}

func (op *operation) globalLock() bson.Raw {
	running := len(op.node.ops.list())
	return value.D("totalTime", time.Since(op.node.records.began).Microseconds(),
		"currentQueue", value.D("total", 0, "readers", 0, "writers", 0),
		"activeClients", value.D("total", running, "readers", 0, "writers", 0))
}

func (op *operation) networkStats() bson.Raw {
	in, out, n := op.node.records.traffic()
	return value.D("bytesIn", in, "bytesOut", out, "physicalBytesIn", in, "physicalBytesOut", out, "numRequests", n)
}

// opCounters adds up the operations of all collections.
func (op *operation) opCounters() bson.Raw {
	count := op.node.records.latencies.total
	return value.D("insert", count(kindInsert), "query", count(kindQuery), "update", count(kindUpdate), "delete", count(kindRemove),
		"getmore", count(kindGetMore), "command", count(kindReadCommand, kindWriteCommand, kindCommand))
}

func (op *operation) opLatencies() bson.Raw {
	all := op.node.records.latencies.all()
	return value.D("reads", all.latency(false, kindQuery, kindGetMore, kindReadCommand),
		"writes", all.latency(false, kindInsert, kindUpdate, kindRemove, kindWriteCommand),
		"commands", all.latency(false, kindCommand), "transactions", all.latency(false))
}

// memoryStats are those of the whole process, in MiB.
func memoryStats(*operation) bson.Raw {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return value.D("bits", 64, "resident", int32(max(m.Sys>>20, 1)), "virtual", int32(max(m.Sys>>20, 1)), "supported", true)
}
