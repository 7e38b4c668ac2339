package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// shardingCommands are the commands on the parts of a sharded cluster. Their
// parsers pass over fields that they do not know.
func shardingCommands() map[string]*spec {
	onAdmin := func(first field, f fields) *spec {
		return &spec{first: first, traits: adminOnly | lenient, fields: f}
	}
	name := text.required()
	reshaping := fields{
		"key": object.required(), "unique": boolean, "collation": object, "numInitialChunks": number,
		"zones": objects, "forceRedistribution": boolean, "implicitlyCreateIndex": boolean,
	}
	sharding := fields{
		"key": object.required(), "unique": boolean, "collation": object, "numInitialChunks": number,
		"presplitHashedZones": boolean, "implicitlyCreateIndex": flag, "enforceUniquenessCheck": flag, "timeseries": object,
	}
	return map[string]*spec{
		"shardCollection":              onAdmin(name, sharding),
		"reshardCollection":            onAdmin(name, reshaping),
		"refineCollectionShardKey":     onAdmin(name, fields{"key": object.required(), "enforceUniquenessCheck": flag}),
		"enableSharding":               onAdmin(name, fields{"primaryShard": text}),
		"movePrimary":                  onAdmin(name, fields{"to": text.required()}),
		"moveRange":                    onAdmin(name, fields{"toShard": text.required(), "min": object, "max": object, "waitForDelete": boolean, "forceJumbo": boolean}),
		"moveCollection":               onAdmin(name, fields{"toShard": text.required()}),
		"unshardCollection":            onAdmin(name, fields{"toShard": text}),
		"moveChunk":                    onAdmin(anything, nil),
		"split":                        onAdmin(anything, nil),
		"mergeChunks":                  onAdmin(anything, nil),
		"mergeAllChunksOnShard":        onAdmin(name, fields{"shard": text.required(), "maxNumberOfChunksToMerge": number, "maxTimeProcessingChunksMS": number}),
		"addShard":                     onAdmin(name, fields{"name": text}),
		"removeShard":                  onAdmin(name, nil),
		"addShardToZone":               onAdmin(name, fields{"zone": text.required()}),
		"removeShardFromZone":          onAdmin(name, fields{"zone": text.required()}),
		"updateZoneKeyRange":           onAdmin(anything, nil),
		"balancerStart":                onAdmin(anything, nil),
		"balancerStop":                 onAdmin(anything, nil),
		"balancerStatus":               onAdmin(anything, nil),
		"balancerCollectionStatus":     onAdmin(name, nil),
		"configureCollectionBalancing": onAdmin(name, fields{"chunkSize": number, "defragmentCollection": boolean, "enableAutoMerger": boolean}),
		"setAllowMigrations":           onAdmin(name, fields{"allowMigrations": boolean.required()}),
		"cleanupOrphaned":              onAdmin(name, fields{"startingFromKey": object}),
		"clearJumboFlag":               onAdmin(name, fields{"bounds": objects, "find": object}),
		"listShards":                   onAdmin(anything, nil),
		"getShardMap":                  onAdmin(anything, nil),

		"transitionFromDedicatedConfigServer": onAdmin(anything, nil),
		"transitionToDedicatedConfigServer":   onAdmin(anything, nil),
		"flushRouterConfig":                   onAdmin(anything, nil),

		"analyzeShardKey": onAdmin(name, fields{
			"key": object.required(), "keyCharacteristics": boolean, "readWriteDistribution": boolean,
			"sampleRate": number.with(isShare), "sampleSize": number.with(isPositive),
		}),
		"configureQueryAnalyzer": onAdmin(name, fields{"mode": oneOf("full", "off").required(), "samplesPerSecond": number}),
	}
}

// isShare accepts a part of the whole, which may be all of it.
func isShare(path string, v bson.RawValue) error {
	f, _ := value.AsFloat64(v)
	switch {
	case !(f > 0):
		return mongoerr.New(mongoerr.BadValue, "BSON field '%s' value must be > 0, actual value '%v'", path, f)
	case f > 1:
		return mongoerr.New(mongoerr.BadValue, "BSON field '%s' value must be <= 1, actual value '%v'", path, f)
	default:
		return nil
	}
}

func isPositive(path string, v bson.RawValue) error {
	if i := integer(v); i <= 0 {
		return mongoerr.New(mongoerr.BadValue, "BSON field '%s' value must be > 0, actual value '%d'", path, i)
	}
	return nil
}
