package schema

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// adminCommands are the commands on the node and the replica set.
func adminCommands() map[string]*spec {
	hello := &spec{first: anything, traits: stable | lenient, fields: fields{"saslSupportedMechs": anything.notNull().with(isUserName)}}
	return map[string]*spec{
		"hello": hello, "isMaster": hello, "ismaster": hello,
		"setUserWriteBlockMode": {first: anything, traits: adminOnly, fields: fields{
			"global": boolean.required(),
			"reason": oneOf("Unspecified", "ClusterToClusterMigrationInProgress", "DiskUseThresholdExceeded"),
		}},
		"applyOps":        {first: array.notNull().required(), traits: lenient, fields: fields{"alwaysUpsert": boolean}},
		"appendOplogNote": {first: anything, traits: adminOnly, fields: fields{"data": object.required(), "maxClusterTime": stamp}},
		"setFeatureCompatibilityVersion": {first: text.required(), traits: adminOnly, fields: fields{
			"confirm": boolean, "downgradeOnDiskChanges": boolean, "fromConfigServer": boolean, "dryRun": boolean,
		}},
		"getDefaultRWConcern": {first: anything, traits: adminOnly, fields: fields{"inMemory": boolean}},
	}
}

// isUserName accepts "db.user" and {user, db}.
func isUserName(path string, v bson.RawValue) error {
	name, isText := v.StringValueOK()
	d, isDoc := v.DocumentOK()
	switch {
	case !isText && !isDoc:
		return mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s' is the wrong type '%s', expected a user name", path, value.TypeName(v.Type))
	case isText && !strings.Contains(name, "."), isDoc && (!has(d, "user") || !has(d, "db")):
		return mongoerr.New(mongoerr.BadValue, "%s must contain a '.' separated database.user pair", path)
	default:
		return nil
	}
}
