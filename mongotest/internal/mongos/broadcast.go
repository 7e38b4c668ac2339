package mongos

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// members are the hosts of a shard's replica set.
func (s Shard) members() []string {
	_, hosts, ok := strings.Cut(s.Host, "/")
	if !ok {
		hosts = s.Host
	}
	return strings.Split(hosts, ",")
}

// everywhere sends the client's command to all shards and answers with all
// their replies. If one fails the command fails, though others carried it out.
func everywhere(ctx context.Context, o *op) (bson.Raw, error) {
	raw, _, err := o.gather(ctx, o.r.catalog.shardIDs())
	return raw, err
}

// gather sends the client's command to shards and returns all their replies,
// and who carried it out.
func (o *op) gather(ctx context.Context, shards []string) (bson.Raw, []string, error) {
	replies := make([]bson.Raw, len(shards))
	errs := make([]error, len(shards))
	err := o.each(ctx, shards, func(ctx context.Context, i int, shard string) error {
		c := o.forward()
		c.safe = true
		resp, err := o.send(ctx, shard, c)
		if resp != nil {
			replies[i] = resp.Body
		}
		errs[i] = err
		return nil // the others are asked in any case
	})
	raw := bson.D{}
	var done []string
	for i, s := range shards {
		var entry any
		if errs[i] != nil {
			e := mongoerr.From(errs[i])
			entry = bson.D{{"ok", 0.0}, {"errmsg", e.Message}, {"code", int32(e.Code)}, {"codeName", mongoerr.CodeName(e.Code)}}
			err = firstOf(err, errs[i])
		} else {
			entry = edit(replies[i], nil, bson.E{Key: "ok", Value: 1.0})
			done = append(done, s)
		}
		raw = append(raw, bson.E{Key: o.r.catalog.host(s), Value: entry})
	}
	if err != nil {
		if e := mongoerr.From(err); e.Code != mongoerr.InternalError {
			err = e.WithInfo("raw", raw)
		}
		return nil, done, err
	}
	return rawDoc(bson.D{{"raw", raw}}), done, nil
}

// setUserWriteBlockMode blocks user writes on every shard. It waits for the
// schema changes under way, as the server drains them.
func setUserWriteBlockMode(ctx context.Context, o *op) (bson.Raw, error) {
	unlock, err := o.r.catalog.locks.one(ctx, schemaLock, lockExclusive)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := everywhere(ctx, o); err != nil {
		return nil, err
	}
	return rawDoc(bson.D{}), nil
}

// listDatabases joins the databases of all shards and those that only the config
// server has.
func listDatabases(ctx context.Context, o *op) (bson.Raw, error) {
	shards := o.r.catalog.shardIDs()
	dedicated := !slices.Contains(shards, ConfigShard)
	if dedicated {
		shards = append(shards, ConfigShard)
	}
	base := o.forward("filter", "nameOnly")
	base.safe = true
	resps, err := o.sendAll(ctx, shards, func(string) call { return base })
	if err != nil {
		return nil, err
	}
	nameOnly := getBool(o.req.Body, "nameOnly", false)
	m, err := query.Compile(getDoc(o.req.Body, "filter"), query.Options{Expr: o.exprHook()})
	if err != nil {
		return nil, err
	}
	list := bson.A{}
	var total int64
	for _, d := range joinDatabases(shards, resps, nameOnly, dedicated) {
		ok, err := m.Match(d)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, d)
			total += getInt(d, "sizeOnDisk", 0)
		}
	}
	if nameOnly {
		return rawDoc(bson.D{{"databases", list}}), nil
	}
	return rawDoc(bson.D{{"databases", list}, {"totalSize", total}, {"totalSizeMb", total >> 20}}), nil
}

// A dbInfo adds up what the shards say of one database.
type dbInfo struct {
	name   string
	size   int64
	shards bson.D
}

// joinDatabases takes only admin and config from a config server that is no
// shard.
func joinDatabases(shards []string, resps []*command.Response, nameOnly, dedicated bool) []bson.Raw {
	byName := map[string]*dbInfo{}
	for i, resp := range resps {
		onConfig := shards[i] == ConfigShard
		for _, d := range getDocs(resp.Body, "databases") {
			name := getString(d, "name")
			if name == "local" || internalDB(name) && !onConfig || !internalDB(name) && onConfig && dedicated {
				continue // every node has its own; admin and config are those of the config server
			}
			info := byName[name]
			if info == nil {
				info = &dbInfo{name: name}
				byName[name] = info
			}
			size := getInt(d, "sizeOnDisk", 0)
			info.size += size
			info.shards = append(info.shards, bson.E{Key: shards[i], Value: size})
		}
	}
	var docs []bson.Raw
	for _, info := range byName {
		d := bson.D{{"name", info.name}}
		if !nameOnly {
			d = append(d, bson.E{Key: "sizeOnDisk", Value: info.size}, bson.E{Key: "empty", Value: false}, bson.E{Key: "shards", Value: info.shards})
		}
		docs = append(docs, rawDoc(d))
	}
	slices.SortFunc(docs, func(a, b bson.Raw) int { return cmp.Compare(getString(a, "name"), getString(b, "name")) })
	return docs
}

// listCollections answers from the primary shard of the database.
func listCollections(ctx context.Context, o *op) (bson.Raw, error) {
	ns := o.req.DB + ".$cmd.listCollections"
	unlock, err := o.r.catalog.locks.one(ctx, o.req.DB, lockShared)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return freshly(o, ns, func() (bson.Raw, error) {
		rt, err := o.place(ns)
		if err != nil || len(rt.shards) == 0 {
			return emptyCursor(ns), err
		}
		return o.passOn(ctx, rt, rt.shards[0])
	})
}

// passOn opens the client's cursor command on one shard.
func (o *op) passOn(ctx context.Context, rt route, shard string) (bson.Raw, error) {
	c := o.forward()
	c.safe, c.routed = true, rt.routed(shard)
	m, err := o.open(ctx, shard, c)
	if err != nil {
		return nil, err
	}
	return o.start(ctx, rt.ns, &passFeed{m: m}, -1, false, nil)
}

// listIndexes answers from the shard that owns the lowest chunk.
func listIndexes(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	return freshly(o, ns, func() (bson.Raw, error) {
		rt, err := o.place(ns)
		switch {
		case err != nil:
			return nil, err
		case rt.table != nil:
			return o.passOn(ctx, rt, rt.table.chunks[0].shard)
		case len(rt.shards) == 0:
			return nil, mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", ns)
		}
		return o.passOn(ctx, rt, rt.shards[0])
	})
}

// summed are the fields of collStats and dbStats that add up over shards.
var summed = []string{
	"count", "size", "storageSize", "totalIndexSize", "totalSize", "freeStorageSize", "numOrphanDocs",
	"objects", "dataSize", "indexSize", "indexFreeStorageSize",
}

// stats adds up the figures that the shards give about a collection or a
// database.
func stats(ctx context.Context, o *op) (bson.Raw, error) {
	if o.req.Name == "dbStats" || o.req.Name == "dbstats" {
		shards := o.r.catalog.shardIDs()
		if internalDB(o.req.DB) {
			shards = []string{ConfigShard}
		}
		return o.stats(ctx, route{shards: shards}, true)
	}
	ns := o.req.NS()
	return freshly(o, ns, func() (bson.Raw, error) {
		rt, err := o.place(ns)
		if err != nil {
			return nil, err
		}
		sharded := rt.table != nil && !rt.table.unsplittable
		switch {
		case rt.table != nil:
			rt.shards = rt.table.shards()
		case len(rt.shards) == 0: // every shard knows what to say of a database that does not exist
			rt.shards = o.r.catalog.shardIDs()
		}
		return o.stats(ctx, rt, sharded)
	})
}

func (o *op) stats(ctx context.Context, rt route, sharded bool) (bson.Raw, error) {
	shards := rt.shards
	resps, err := o.sendAll(ctx, shards, func(shard string) call {
		c := o.forward()
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, err
	}
	sums := map[string]int64{}
	parts := bson.D{}
	for i, resp := range resps {
		parts = append(parts, bson.E{Key: shards[i], Value: resp.Body})
		for _, f := range summed {
			sums[f] += getInt(resp.Body, f, 0)
		}
	}
	reply := bson.D{{"sharded", sharded}, {"shards", parts}}
	if !sharded {
		reply = append(reply, bson.E{Key: "primary", Value: shards[0]})
	}
	for name, v := range value.Elements(resps[0].Body) {
		if slices.Contains(summed, name) {
			reply = append(reply, bson.E{Key: name, Value: sums[name]})
		} else {
			reply = append(reply, bson.E{Key: name, Value: v})
		}
	}
	return rawDoc(reply), nil
}

// onConfig runs a command where the cluster keeps its users, roles and
// settings: on the config server.
func onConfig(ctx context.Context, o *op) (bson.Raw, error) {
	resp, err := o.send(ctx, ConfigShard, o.forward())
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// explain asks the first shard that would run the command.
func explain(ctx context.Context, o *op) (bson.Raw, error) {
	inner := getDoc(o.req.Body, "explain")
	e, err := inner.IndexErr(0)
	if err != nil {
		return nil, mongoerr.New(mongoerr.FailedToParse, "explain needs a command")
	}
	coll, _ := e.Value().StringValueOK()
	filter := getDoc(inner, "filter")
	if filter == nil {
		filter = getDoc(inner, "query")
	}
	ns := o.req.DB + "." + coll
	return freshly(o, ns, func() (bson.Raw, error) { return o.explain(ctx, ns, inner, filter) })
}

func (o *op) explain(ctx context.Context, ns string, inner, filter bson.Raw) (bson.Raw, error) {
	by, err := o.comparing(ns, inner)
	if err != nil {
		return nil, err
	}
	rt, err := o.route(ns, filter, by)
	if err != nil {
		return nil, err
	}
	if len(rt.shards) == 0 {
		return rawDoc(bson.D{{"queryPlanner", bson.D{{"mongosPlannerVersion", int32(1)}, {"winningPlan", bson.D{{"stage", "EOF"}}}}}}), nil
	}
	c := o.forward()
	c.routed = rt.routed(rt.shards[0])
	resp, err := o.send(ctx, rt.shards[0], c)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
