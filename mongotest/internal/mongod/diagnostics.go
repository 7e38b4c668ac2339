package mongod

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/apiversion"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/schema"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func diagnosticCommands() map[string]*handler {
	return map[string]*handler{
		"ping":           {runNothing, 0},
		"testVersion2":   {runNothing, 0}, // for testing API versions to come
		"buildInfo":      {runBuildInfo, 0},
		"buildinfo":      {runBuildInfo, 0},
		"serverStatus":   {runServerStatus, 0},
		"collStats":      {runCollStats, 0},
		"collstats":      {runCollStats, 0},
		"dbStats":        {runDBStats, 0},
		"dbstats":        {runDBStats, 0},
		"dbHash":         {runDBHash, 0},
		"dbhash":         {runDBHash, 0},
		"whatsmyuri":     {runWhatsMyURI, 0},
		"hostInfo":       {runHostInfo, 0},
		"getLog":         {runGetLog, 0},
		"getCmdLineOpts": {runGetCmdLineOpts, 0},
		"listCommands":   {runListCommands, 0},
		"top":            {runTop, 0},
		"profile":        {runProfile, 0},
	}
}

func runBuildInfo(_ context.Context, op *operation) (bson.Raw, error) {
	v := op.node.cfg.Version
	return value.D(
		"version", v.String(), "gitVersion", strings.Repeat("0", 40), "modules", value.A(), "allocator", "system",
		"javascriptEngine", "mozjs", "sysInfo", "deprecated",
		"versionArray", value.A(int32(v[0]), int32(v[1]), int32(v[2]), int32(0)),
		"openssl", value.D("running", "disabled", "compiled", "disabled"), "buildEnvironment", emptyDoc(),
		"bits", 64, "debug", false, "maxBsonObjectSize", maxBSONObjectSize, "storageEngines", value.A("wiredTiger"),
	), nil
}

func runCollStats(_ context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	ns := op.req.DB + "." + coll
	scale := scaleOf(op.req.Body)
	var reply bson.Raw
	err = op.view(func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if c != nil && c.IsView() && !c.IsTimeseries() {
			return viewError(c)
		}
		stats := op.statsOf(tx, ns, c, scale)
		reply = value.D("ns", ns)
		for name, v := range value.Elements(stats) {
			reply = appendFields(reply, name, v)
		}
		return nil
	})
	return reply, err
}

func runDBStats(_ context.Context, op *operation) (bson.Raw, error) {
	scale := scaleOf(op.req.Body)
	var colls, views, indexes, objects, data, indexSize int64
	err := op.view(func(tx *storage.Tx) error {
		for _, c := range tx.Collections(op.req.DB) {
			if c.IsView() {
				views++
				continue
			}
			colls++
			objects += c.Count()
			data += c.Size()
			for _, ix := range c.Indexes() {
				indexes++
				indexSize += ix.Size()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	average := 0.0
	if objects > 0 {
		average = float64(data) / float64(objects)
	}
	s := float64(scale)
	reply := value.D("db", op.req.DB, "collections", colls, "views", views, "objects", objects, "avgObjSize", average,
		"dataSize", float64(data)/s, "storageSize", float64(data)/s, "indexes", indexes, "indexSize", float64(indexSize)/s,
		"totalSize", float64(data+indexSize)/s, "scaleFactor", scale, "fsUsedSize", 0.0, "fsTotalSize", 0.0)
	if op.args().bool("freeStorage", false) {
		reply = appendFields(reply, "freeStorageSize", 0.0, "indexFreeStorageSize", 0.0, "totalFreeStorageSize", 0.0)
	}
	return reply, nil
}

// runDBHash hashes the documents of each collection, in the order of _id.
func runDBHash(_ context.Context, op *operation) (bson.Raw, error) {
	only := op.args().values("collections")
	for _, name := range only {
		if name.Type != bson.TypeString {
			return nil, mongoerr.New(mongoerr.BadValue, "collections entries have to be strings")
		}
	}
	var hashes, uuids []any
	capped := []bson.RawValue{}
	all := md5.New()
	err := op.view(func(tx *storage.Tx) error {
		for _, c := range tx.Collections(op.req.DB) {
			if c.IsView() || isHiddenSystem(c) || !named(only, c.Name()) {
				continue
			}
			sum := hashCollection(tx, c)
			all.Write([]byte(sum))
			hashes = append(hashes, c.Name(), sum)
			uuids = append(uuids, c.Name(), c.UUID.Binary())
			if c.Capped() {
				capped = append(capped, value.String(c.Name()))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value.D("host", op.node.cfg.Name, "collections", value.D(hashes...), "capped", value.ArrayOf(capped...), "uuids", value.D(uuids...),
		"md5", hex.EncodeToString(all.Sum(nil)), "timeMillis", 0), nil
}

// isHiddenSystem reports whether dbHash leaves a collection out: it hashes the
// definitions of views and the buckets of time-series collections.
func isHiddenSystem(c *storage.Collection) bool {
	return strings.HasPrefix(c.Name(), "system.") && c.Name() != "system.views" && c.Timeseries() == nil
}

func hashCollection(tx *storage.Tx, c *storage.Collection) string {
	h := md5.New()
	for _, rec := range tx.Scan(c, storage.ScanSpec{Index: c.IDIndex().Name}) {
		h.Write(rec.Doc)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// named reports whether name is in the list; an empty list has every name.
func named(list []bson.RawValue, name string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(v bson.RawValue) bool {
		s, _ := v.StringValueOK()
		return s == name
	})
}

func runWhatsMyURI(_ context.Context, op *operation) (bson.Raw, error) {
	return value.D("you", op.req.Client.Addr), nil
}

func runHostInfo(_ context.Context, op *operation) (bson.Raw, error) {
	cores, memory := runtime.NumCPU(), int64(1024)
	return value.D(
		"system", value.D("currentTime", op.node.now(), "hostname", op.node.cfg.Name, "cpuAddrSize", 64, "memSizeMB", memory, "memLimitMB", memory,
			"numCores", cores, "numCoresAvailableToProcess", cores, "numPhysicalCores", cores, "numCpuSockets", 1, "cpuArch", "x86_64",
			"numaEnabled", false, "numNumaNodes", 1),
		"os", value.D("type", "Linux", "name", "simulated", "version", "1"),
		"extra", value.D("versionString", "simulated", "libcVersion", "none", "versionSignature", "", "kernelVersion", "none",
			"cpuString", "simulated", "cpuFrequencyMHz", "0", "cpuFeatures", "", "pageSize", int64(os.Getpagesize()),
			"numPages", int64(0), "maxOpenFiles", int64(0)),
	), nil
}

func runGetLog(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	switch name := a.string("getLog"); {
	case a.err != nil:
		return nil, a.err
	case name == "*":
		return value.D("names", value.A("global", "startupWarnings")), nil
	case name == "global" || name == "startupWarnings":
		return value.D("totalLinesWritten", 0, "log", value.A()), nil
	default:
		return nil, mongoerr.New(mongoerr.OperationFailed, "no RamLog named: %s", name)
	}
}

func runGetCmdLineOpts(_ context.Context, op *operation) (bson.Raw, error) {
	return value.D("argv", value.A("mongod"), "parsed", value.D("replication", value.D("replSet", op.node.cfg.SetName))), nil
}

func runListCommands(_ context.Context, op *operation) (bson.Raw, error) {
	var pairs []any
	for _, name := range slices.Sorted(maps.Keys(op.node.table)) {
		pairs = append(pairs, name, value.D("help", "", "requiresAuth", name != "hello", "secondaryOk", false, "adminOnly", schema.AdminOnly(name),
			"apiVersions", apiversion.Of(name), "deprecatedApiVersions", value.A()))
	}
	return value.D("commands", value.D(pairs...)), nil
}

// runTop tells how long operations on each collection took.
func runTop(_ context.Context, op *operation) (bson.Raw, error) {
	totals := []any{"note", "all times in microseconds"}
	err := op.view(func(tx *storage.Tx) error {
		for _, db := range tx.Databases() {
			for _, c := range tx.Collections(db) {
				t := op.node.records.latencies.of(c.NS)
				totals = append(totals, c.NS, value.D(
					"total", t.usage(kindQuery, kindGetMore, kindInsert, kindUpdate, kindRemove, kindReadCommand, kindWriteCommand, kindCommand),
					"readLock", t.usage(kindQuery, kindGetMore, kindReadCommand),
					"writeLock", t.usage(kindInsert, kindUpdate, kindRemove, kindWriteCommand, kindCommand),
					"queries", t.usage(kindQuery), "getmore", t.usage(kindGetMore), "insert", t.usage(kindInsert),
					"update", t.usage(kindUpdate), "remove", t.usage(kindRemove),
					"commands", t.usage(kindReadCommand, kindWriteCommand, kindCommand)))
			}
		}
		return nil
	})
	return value.D("totals", value.D(totals...)), err
}
