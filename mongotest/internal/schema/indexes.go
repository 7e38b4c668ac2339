package schema

import "go.mongodb.org/mongo-driver/v2/bson"

// indexCommands are the commands on indexes.
func indexCommands() map[string]*spec {
	drop := &spec{first: collection, traits: stable, fields: fields{
		"index":          of(bson.TypeString, bson.TypeArray, bson.TypeEmbeddedDocument).notNull().required(),
		"collectionUUID": uuid, "isTimeseriesNamespace": boolean,
	}}
	return map[string]*spec{
		"createIndexes": {first: collection, traits: stable, fields: fields{
			"indexes": objects.required(), "v": number, "ignoreUnknownIndexOptions": flag, "commitQuorum": anything,
			"returnOnStart": flag, "collectionUUID": uuid, "isTimeseriesNamespace": boolean,
		}},
		"dropIndexes":   drop,
		"deleteIndexes": drop,
		"listIndexes": {first: anything, traits: stable, fields: fields{
			"cursor": cursorOptions, "includeBuildUUIDs": flag, "includeIndexBuildInfo": flag, "isTimeseriesNamespace": boolean,
		}},
	}
}
