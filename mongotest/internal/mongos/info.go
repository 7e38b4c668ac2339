package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// hello describes a mongos. Its topology never changes: a client that waits
// for a change waits out its time.
func hello(ctx context.Context, o *op) (bson.Raw, error) {
	if getDoc(o.req.Body, "topologyVersion") != nil {
		wait := time.NewTimer(time.Duration(getInt(o.req.Body, "maxAwaitTimeMS", 0)) * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return nil, interrupted(ctx, ctx.Err())
		}
	}
	primary := "isWritablePrimary"
	if o.req.Name != "hello" {
		primary = "ismaster"
	}
	return rawDoc(bson.D{
		{primary, true},
		{"msg", "isdbgrid"},
		{"topologyVersion", bson.D{{"processId", *o.r.processID.Load()}, {"counter", int64(0)}}},
		{"maxBsonObjectSize", int32(16777216)},
		{"maxMessageSizeBytes", int32(48000000)},
		{"maxWriteBatchSize", int32(100000)},
		{"localTime", bson.NewDateTimeFromTime(o.r.now())},
		{"logicalSessionTimeoutMinutes", int32(30)},
		{"minWireVersion", int32(0)},
		{"maxWireVersion", o.r.cfg.Version.Wire()},
		{"readOnly", false},
	}), nil
}

func ok(context.Context, *op) (bson.Raw, error) { return rawDoc(bson.D{}), nil }

func isdbgrid(_ context.Context, o *op) (bson.Raw, error) {
	return rawDoc(bson.D{{"isdbgrid", int32(1)}, {"hostname", o.r.cfg.Name}}), nil
}

// flushRouterConfig makes the router ask again about a namespace, a database, or
// everything.
func flushRouterConfig(_ context.Context, o *op) (bson.Raw, error) {
	what := getString(o.req.Body, o.req.Name)
	if _, _, isNS := splitNS(what); isNS {
		o.r.known.forget(what)
	} else {
		o.r.known.forgetDatabase(what)
	}
	return rawDoc(bson.D{{"flushed", true}}), nil
}

func buildInfo(_ context.Context, o *op) (bson.Raw, error) {
	return rawDoc(bson.D{
		{"version", o.r.cfg.Version.String()},
		{"gitVersion", "0000000000000000000000000000000000000000"},
		{"modules", bson.A{}},
		{"allocator", "system"},
		{"javascriptEngine", "mozjs"},
		{"sysInfo", "deprecated"},
		{"versionArray", o.r.cfg.Version.Array()},
		{"bits", int32(64)},
		{"debug", false},
		{"maxBsonObjectSize", int32(16777216)},
		{"storageEngines", bson.A{"devnull", "wiredTiger"}},
	}), nil
}

func serverStatus(_ context.Context, o *op) (bson.Raw, error) {
	up := time.Since(o.r.started)
	o.r.cursors.mu.Lock()
	open := len(o.r.cursors.cursors)
	o.r.cursors.mu.Unlock()
	return rawDoc(bson.D{
		{"host", o.r.cfg.Name},
		{"version", o.r.cfg.Version.String()},
		{"process", "mongos"},
		{"pid", int64(1)},
		{"uptime", up.Seconds()},
		{"uptimeMillis", up.Milliseconds()},
		{"localTime", bson.NewDateTimeFromTime(o.r.now())},
		{"metrics", bson.D{{"cursor", bson.D{{"open", bson.D{{"total", int64(open)}}}}}}},
		{"sharding", bson.D{{"lastSeenConfigServerOpTime", bson.D{{"ts", o.r.cfg.Clock.Now()}, {"t", int64(1)}}}}},
	}), nil
}

func getParameter(_ context.Context, o *op) (bson.Raw, error) {
	all := bson.D{
		{"featureCompatibilityVersion", bson.D{{"version", o.r.cfg.Version.FCV()}}},
		{"cursorTimeoutMillis", o.r.cfg.CursorIdle.Milliseconds()},
		{"localLogicalSessionTimeoutMinutes", int32(30)},
		{"enableTestCommands", false},
	}
	var found bson.D
	v, _ := value.Get(o.req.Body, "getParameter")
	for _, p := range all {
		s, isString := v.StringValueOK()
		if isString && s == "*" || has(o.req.Body, p.Key) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "no option found to get")
	}
	return rawDoc(found), nil
}

func whatsmyuri(_ context.Context, o *op) (bson.Raw, error) {
	return rawDoc(bson.D{{"you", o.req.Client.Addr}}), nil
}

func hostInfo(_ context.Context, o *op) (bson.Raw, error) {
	return rawDoc(bson.D{
		{"system", bson.D{{"currentTime", bson.NewDateTimeFromTime(o.r.now())}, {"hostname", o.r.cfg.Name}, {"cpuAddrSize", int32(64)}, {"numCores", int32(2)}}},
		{"os", bson.D{{"type", "Linux"}, {"name", "simulated"}, {"version", ""}}},
		{"extra", bson.D{}},
	}), nil
}

func getCmdLineOpts(_ context.Context, o *op) (bson.Raw, error) {
	return rawDoc(bson.D{{"argv", bson.A{"mongos"}}, {"parsed", bson.D{{"net", bson.D{{"bindIp", o.r.cfg.Name}}}}}}), nil
}

func getLog(context.Context, *op) (bson.Raw, error) {
	return rawDoc(bson.D{{"totalLinesWritten", int32(0)}, {"log", bson.A{}}}), nil
}

func listCommands(_ context.Context, o *op) (bson.Raw, error) {
	var d bson.D
	for name := range o.r.commands {
		d = append(d, bson.E{Key: name, Value: bson.D{{"help", ""}}})
	}
	return rawDoc(bson.D{{"commands", d}}), nil
}

// refused is a command the simulated cluster does not carry out.
func refused(_ context.Context, o *op) (bson.Raw, error) {
	return nil, mongoerr.New(mongoerr.CommandNotSupported, "%s is not supported by the simulated cluster", o.req.Name)
}
