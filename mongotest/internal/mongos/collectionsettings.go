package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// configureCollectionBalancing sets how the balancer treats one collection.
// Defragmenting and merging by itself it does not do.
func configureCollectionBalancing(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if getBool(o.req.Body, "defragmentCollection", false) {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "defragmentCollection is not supported by the simulated cluster")
	}
	if has(o.req.Body, "enableAutoMerger") && !o.r.cfg.Version.AtLeast(7, 0) {
		return nil, mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'configureCollectionBalancing.enableAutoMerger' is an unknown field.")
	}
	set := bson.D{}
	if v, ok := value.Get(o.req.Body, "chunkSize"); ok {
		mb, isNumber := value.AsInt64(v)
		if !isNumber || mb < 0 || mb > 1024 {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "Chunk size '%s' out of range [1MB, 1GB]", v)
		}
		if mb > 0 {
			set = append(set, bson.E{Key: "maxChunkSizeBytes", Value: mb << 20})
		}
	}
	if has(o.req.Body, "enableAutoMerger") {
		set = append(set, bson.E{Key: "enableAutoMerge", Value: getBool(o.req.Body, "enableAutoMerger", true)})
	}
	if len(set) == 0 {
		return rawDoc(bson.D{}), nil
	}
	w := o.r.catalog.writes()
	w.put("collections", bson.E{Key: "_id", Value: t.ns}, bson.D{{"$set", set}})
	return rawDoc(bson.D{}), w.send(ctx)
}

// clearJumboFlag makes the balancer try a chunk again that was too big.
func clearJumboFlag(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	i, err := t.chosenChunk(o.req.Body)
	if err != nil || !t.chunks[i].jumbo {
		return rawDoc(bson.D{}), err
	}
	n := t.withChunks(append([]chunk(nil), t.chunks...))
	v := t.version()
	n.chunks[i].jumbo, n.chunks[i].version = false, bson.Timestamp{T: v.T + 1}
	return rawDoc(bson.D{}), o.r.catalog.store(ctx, n)
}

// checkMetadataConsistency compares what the shards have with what the catalog
// says: each collection with its UUID where it has chunks, and none sharded on
// a shard that knows it otherwise.
func checkMetadataConsistency(ctx context.Context, o *op) (bson.Raw, error) {
	db := o.req.DB
	if db == "admin" {
		db = ""
	}
	found := []bson.Raw{}
	own := o.r.own()
	for _, t := range o.r.catalog.tables(db) {
		if coll, _ := value.Get(o.req.Body, o.req.Name); coll.Type == bson.TypeString && t.ns != o.req.NS() {
			continue
		}
		for _, shard := range o.r.catalog.shardIDs() {
			wrong, err := own.inconsistency(ctx, t, shard)
			if err != nil {
				return nil, err
			}
			if wrong != nil {
				found = append(found, rawDoc(wrong))
			}
		}
	}
	return cursorReply(o.req.DB+".$cmd.aggregate", 0, "firstBatch", batch{docs: found}), nil
}

func (o *op) inconsistency(ctx context.Context, t *table, shard string) (bson.D, error) {
	unlock, err := o.r.catalog.locks.take(ctx, t.ns, lockShared)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if t = o.r.catalog.tableOf(t.uuid); t == nil {
		return nil, nil //nolint:nilnil // dropped meanwhile, so nothing is wrong with it
	}
	infos, err := o.collections(ctx, shard, t.ns)
	if err != nil {
		return nil, err
	}
	owns := false
	for i := range t.chunks {
		owns = owns || t.chunks[i].shard == shard
	}
	if len(infos) == 0 {
		if !owns {
			return nil, nil //nolint:nilnil // has none and needs none
		}
		return bson.D{
			{"type", "MissingLocalCollection"},
			{"description", "A collection is registered on the sharding catalog, but there is at least one shard that should contain the collection locally but doesn't"},
			{"details", bson.D{{"namespace", t.ns}, {"shard", shard}, {"uuid", t.uuid.Binary()}}},
		}, nil
	}
	v, _ := value.Get(getDoc(infos[0], "info"), "uuid")
	if id, _ := value.ParseUUID(v); id != t.uuid {
		return bson.D{
			{"type", "CollectionUUIDMismatch"},
			{"description", "Found collection on shard with a different UUID from the sharding catalog"},
			{"details", bson.D{{"namespace", t.ns}, {"shard", shard}, {"localUUID", id.Binary()}, {"UUID", t.uuid.Binary()}}},
		}, nil
	}
	return nil, nil //nolint:nilnil // all is well
}
