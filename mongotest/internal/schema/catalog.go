package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// catalogCommands are the commands on databases and collections.
func catalogCommands() map[string]*spec {
	return map[string]*spec{
		"create":       {first: collection, traits: stable, fields: createFields()},
		"collMod":      {first: collection, traits: stable, fields: collModFields()},
		"drop":         {first: collection, traits: stable, fields: fields{"collectionUUID": uuid}},
		"dropDatabase": {first: number.with(isOne).required(), traits: stable},
		"renameCollection": {first: text.required(), traits: adminOnly, fields: fields{
			"to": text.required(), "dropTarget": of(bson.TypeBoolean, bson.TypeBinary).notNull().with(isDropTarget), "stayTemp": boolean, "collectionUUID": uuid,
			"encryptionInformation": object,
		}},
		"convertToCapped":         {first: collection, traits: lenient},
		"cloneCollectionAsCapped": {first: text.notNull(), traits: lenient, fields: fields{"toCollection": text.notNull()}},
		"listCollections": {first: anything, traits: stable, fields: fields{
			"cursor": cursorOptions, "filter": object, "nameOnly": boolean, "authorizedCollections": boolean, "includePendingDrops": flag,
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

// bucketSeconds is a length of buckets: up to a year.
var bucketSeconds = number.upTo(365 * 24 * 3600)

var images = structure(fields{"enabled": boolean.required()})

// expiry is expireAfterSeconds of a collection: a number, or "off".
var expiry = of(bson.TypeString, bson.TypeInt64, bson.TypeInt32, bson.TypeDecimal128, bson.TypeDouble)

// isDropTarget accepts a bool, or the UUID of the collection to drop.
func isDropTarget(_ string, v bson.RawValue) error {
	if _, ok := value.ParseUUID(v); v.Type == bson.TypeBinary && !ok {
		return mongoerr.New(mongoerr.InvalidUUID, "uuid must be a 16-byte binary field with UUID (4) subtype")
	}
	return nil
}

// notOne is the server's code for {dropDatabase: 2}.
const notOne mongoerr.Code = 5255100

func isOne(path string, v bson.RawValue) error {
	if i := integer(v); i != 1 {
		return mongoerr.New(notOne, "Expected %s to have the value 1, found %d", path, i)
	}
	return nil
}

// clusteredIndex is a document or, of the server's own collections, a flag.
var clusteredIndex = field{
	types: append([]bson.Type{bson.TypeEmbeddedDocument}, flag.types...),
	of:    fields{"v": number, "key": object.required(), "name": text, "unique": flag.required()},
	rule:  isClusteredIndex,
}

// The server's codes for a clusteredIndex that is no document or of an unknown
// version.
const (
	legacyClusteredIndex  mongoerr.Code = 5979703
	unknownClusteredIndex mongoerr.Code = 5979704
)

func isClusteredIndex(_ string, v bson.RawValue) error {
	d, ok := v.DocumentOK()
	if !ok && value.Truthy(v) {
		return mongoerr.New(legacyClusteredIndex, "The 'clusteredIndex' legacy format {clusteredIndex: <bool>} is only supported for specific internal collections and vice versa")
	}
	if version := d.Lookup("v"); ok && !isNothing(version) && integer(version) != 2 {
		return mongoerr.New(unknownClusteredIndex, "Invalid value '%d' for 'v' of the clusteredIndex, expected 2", integer(version))
	}
	return nil
}

func createFields() fields {
	return fields{
		"capped": flag, "autoIndexId": flag, "size": number, "max": number, "temp": flag, "flags": number,
		"idIndex": object.with(isIDIndex), "storageEngine": object, "indexOptionDefaults": structure(fields{"storageEngine": object}),
		"validator": object, "validationLevel": oneOf("off", "strict", "moderate"), "validationAction": oneOf("error", "warn", "errorAndLog"),
		"viewOn": text, "pipeline": objects, "collation": collation,
		"changeStreamPreAndPostImages": images, "recordPreImages": flag, "recordIdsReplicated": flag,
		"timeseries": structure(fields{
			"timeField": text.required(), "metaField": text, "granularity": oneOf("seconds", "minutes", "hours"),
			"bucketMaxSpanSeconds": bucketSeconds, "bucketRoundingSeconds": bucketSeconds,
		}),
		"clusteredIndex": clusteredIndex, "expireAfterSeconds": expiry,
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
		"expireAfterSeconds": expiry.notNull(), "cappedSize": number, "cappedMax": number, "dryRun": flag,
		"timeseries": structure(fields{
			"granularity": oneOf("seconds", "minutes", "hours"), "bucketMaxSpanSeconds": bucketSeconds, "bucketRoundingSeconds": bucketSeconds,
		}),
		"isTimeseriesNamespace": boolean, "collectionUUID": uuid,
	}
}
