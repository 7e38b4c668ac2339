package schema

import "go.mongodb.org/mongo-driver/v2/bson"

// catalogCommands are the commands on databases and collections.
func catalogCommands() map[string]*spec {
	return map[string]*spec{
		"create":       {first: collection, traits: stable, fields: createFields()},
		"collMod":      {first: collection, traits: stable, fields: collModFields()},
		"drop":         {first: collection, traits: stable, fields: fields{"collectionUUID": uuid}},
		"dropDatabase": {first: anything, traits: stable},
		"renameCollection": {first: text.required(), traits: adminOnly, fields: fields{
			"to": text.required(), "dropTarget": of(bson.TypeBoolean, bson.TypeBinary), "stayTemp": boolean, "collectionUUID": uuid,
			"encryptionInformation": object,
		}},
		"convertToCapped": {first: collection, fields: fields{"size": number.required(), "targetUUID": uuid}},
		"cloneCollectionAsCapped": {first: collection, fields: fields{
			"toCollection": text.required(), "size": number.required(), "temp": flag,
		}},
		"listCollections": {first: anything, traits: stable, fields: fields{
			"cursor": cursorOptions, "filter": object, "nameOnly": flag, "authorizedCollections": flag, "includePendingDrops": flag,
		}},
		"listDatabases": {first: anything, traits: stable | adminOnly, fields: fields{
			"nameOnly": flag, "filter": object, "authorizedDatabases": boolean,
		}},
		"validateDBMetadata": {first: anything, fields: fields{
			"apiParameters": structure(fields{"version": text.required(), "strict": boolean, "deprecationErrors": boolean}).required(),
			"db":            text, "collection": text,
		}},
		"compact": {first: collection, fields: fields{
			"dryRun": flag, "force": flag, "freeSpaceTargetMB": number.atLeast(1),
		}},
	}
}

var images = structure(fields{"enabled": flag.required()})

// expiry is expireAfterSeconds of a collection: a number, or "off".
var expiry = of(bson.TypeString, bson.TypeInt64, bson.TypeInt32, bson.TypeDecimal128, bson.TypeDouble)

func createFields() fields {
	return fields{
		"capped": flag, "autoIndexId": flag, "size": number, "max": number, "temp": flag, "flags": number,
		"idIndex": object, "storageEngine": object, "indexOptionDefaults": structure(fields{"storageEngine": object}),
		"validator": object, "validationLevel": oneOf("off", "strict", "moderate"), "validationAction": oneOf("error", "warn", "errorAndLog"),
		"viewOn": text, "pipeline": objects, "collation": collation,
		"changeStreamPreAndPostImages": images, "recordPreImages": flag, "recordIdsReplicated": flag,
		"timeseries": structure(fields{
			"timeField": text.required(), "metaField": text, "granularity": oneOf("seconds", "minutes", "hours"),
			"bucketMaxSpanSeconds": number.atLeast(1), "bucketRoundingSeconds": number.atLeast(1), "fixedBuckets": flag,
		}),
		"clusteredIndex": of(bson.TypeBoolean, bson.TypeEmbeddedDocument), "expireAfterSeconds": expiry,
		"encryptedFields": object,
	}
}

func collModFields() fields {
	return fields{
		"index": structure(fields{
			"name": text, "keyPattern": object, "expireAfterSeconds": number, "hidden": flag, "unique": flag,
			"prepareUnique": flag, "forceNonUnique": flag,
		}),
		"validator": object, "validationLevel": oneOf("off", "strict", "moderate"), "validationAction": oneOf("error", "warn", "errorAndLog"),
		"viewOn": text, "pipeline": objects, "changeStreamPreAndPostImages": images, "recordPreImages": flag,
		"expireAfterSeconds": expiry, "cappedSize": number, "cappedMax": number, "dryRun": flag,
		"timeseries": structure(fields{
			"granularity": oneOf("seconds", "minutes", "hours"), "bucketMaxSpanSeconds": number.atLeast(1), "bucketRoundingSeconds": number.atLeast(1),
		}),
		"isTimeseriesNamespace": boolean, "collectionUUID": uuid,
	}
}
