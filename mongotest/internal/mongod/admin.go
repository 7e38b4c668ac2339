package mongod

import (
	"context"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func adminCommands() map[string]*handler {
	return map[string]*handler{
		"appendOplogNote":                {runAppendOplogNote, isWrite},
		"setUserWriteBlockMode":          {runSetUserWriteBlockMode, isWrite},
		"getParameter":                   {runGetParameter, 0},
		"setParameter":                   {runSetParameter, 0},
		"setFeatureCompatibilityVersion": {runSetFCV, isWrite},
		"replSetStepDown":                {runStepDown, 0},
		"replSetFreeze":                  {runFreeze, always},
		"replSetResizeOplog":             {runResizeOplog, always},
		"replSetGetStatus":               {runReplSetGetStatus, 0},
		"replSetGetConfig":               {runReplSetGetConfig, 0},
		"killOp":                         {runKillOp, 0},
		"currentOp":                      {runCurrentOp, 0},
		"getDefaultRWConcern":            {runGetDefaultRWConcern, 0},
		"flushRouterConfig":              {runNothing, 0},
		"logRotate":                      {runNothing, 0},
		"compact":                        {runCompact, isWrite},
		"shardingState":                  {runShardingState, 0},
		"splitVector":                    {runSplitVector, 0},
		"validate":                       {runValidate, 0},
	}
}

// runNothing answers commands that have nothing to do here.
func runNothing(context.Context, *operation) (bson.Raw, error) { return value.D(), nil }

// runCompact answers compact: there is never anything to free.
func runCompact(_ context.Context, op *operation) (bson.Raw, error) {
	if op.args().bool("dryRun", false) {
		return value.D("estimatedBytesFreed", 0), nil
	}
	return value.D("bytesFreed", 0), nil
}

func runReplSetGetStatus(_ context.Context, op *operation) (bson.Raw, error) {
	return op.node.replSetStatus(), nil
}

func runReplSetGetConfig(_ context.Context, op *operation) (bson.Raw, error) {
	return value.D("config", op.node.replConfig()), nil
}

// replConfig is the configuration of the replica set.
func (n *Node) replConfig() bson.Raw {
	var members []bson.Raw
	for i, h := range n.set.hosts() {
		members = append(members, value.D("_id", i, "host", h, "arbiterOnly", false, "buildIndexes", true, "hidden", false,
			"priority", 1.0, "tags", emptyDoc(), "secondaryDelaySecs", int64(0), "votes", 1))
	}
	return value.D(
		"_id", n.cfg.SetName, "version", replSetVersion, "term", n.topo.state().term,
		"members", members, "protocolVersion", int64(1), "writeConcernMajorityJournalDefault", true,
		"settings", value.D("chainingAllowed", true, "heartbeatIntervalMillis", 2000, "replicaSetId", n.set.id),
	)
}

func runKillOp(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	v := a.lookup("op")
	f, isNumber := value.AsFloat64(v)
	switch {
	case v.Type == 0:
		return nil, mongoerr.New(mongoerr.NoSuchKey, "Missing expected field \"op\"")
	case !isNumber:
		return nil, mongoerr.New(mongoerr.TypeMismatch, "Field 'op' must be of type number, not %s", value.TypeName(v.Type))
	case f != math.Trunc(f):
		return nil, mongoerr.New(mongoerr.BadValue, "Expected field \"op\" to have an integral value, not %v", f)
	case f < math.MinInt32 || f > math.MaxInt32:
		return nil, mongoerr.New(26823, "invalid op : %v. Must be a 32-bit integer", f)
	}
	op.node.ops.kill(int64(f))
	return value.D("info", "attempting to kill op"), nil
}

func runShardingState(_ context.Context, op *operation) (bson.Raw, error) {
	id := op.node.set.shardID()
	if id == "" {
		return value.D("enabled", false), nil
	}
	return value.D("enabled", true, "shardName", id), nil
}

// runSplitVector returns keys that cut a collection into chunks of about
// maxChunkSizeBytes (or maxChunkSize in MB), orphans included.
func runSplitVector(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	ns := a.string("splitVector")
	pattern := a.doc("keyPattern")
	chunk := a.int64("maxChunkSizeBytes", a.int64("maxChunkSize", 64)<<20)
	most := a.count("maxSplitPoints", 0)
	w := wanted{min: nonEmpty(a.doc("min")), max: nonEmpty(a.doc("max"))}
	if a.err != nil {
		return nil, a.err
	}
	if a.bool("force", false) {
		chunk = 0
	}
	w.hint = value.Doc(pattern)
	var keys []bson.Raw
	err := op.view(func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns not found")
		}
		if chunk == 0 {
			chunk = max(c.Size()/2, 1) // force: one key in the middle
			most = 1
		}
		recs, err := matching(ctx, tx, c, w, nil, 0)
		if err != nil {
			return err
		}
		keys = splitKeys(recs, pattern, chunk, most)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value.D("splitKeys", keys), nil
}

// splitKeys returns the key of the first document of every chunk but the first.
func splitKeys(recs []storage.Rec, pattern bson.Raw, chunk, most int64) []bson.Raw {
	var keys []bson.Raw
	var size int64
	for i, rec := range recs {
		if i > 0 && size >= chunk && (most == 0 || int64(len(keys)) < most) {
			key := extractKey(rec.Doc, pattern)
			if !slices.ContainsFunc(keys, func(k bson.Raw) bool { return value.CompareDocs(k, key) == 0 }) {
				keys = append(keys, key)
				size = 0
			}
		}
		size += int64(len(rec.Doc))
	}
	return keys
}

// extractKey returns the fields of pattern in doc, null where they are missing.
func extractKey(doc, pattern bson.Raw) bson.Raw {
	var pairs []any
	for name := range value.Elements(pattern) {
		v, ok := value.Lookup(doc, name)
		if !ok {
			v = value.Null()
		}
		pairs = append(pairs, name, v)
	}
	return value.D(pairs...)
}
