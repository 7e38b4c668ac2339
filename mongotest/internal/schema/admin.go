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
			"confirm": flag, "downgradeOnDiskChanges": boolean, "fromConfigServer": boolean, "dryRun": boolean,
		}},
		"getParameter": {first: anything, traits: adminOnly | lenient, fields: fields{"allParameters": flag}},
		"setParameter": {first: anything, traits: adminOnly | lenient},
		"killOp":       {first: anything, traits: adminOnly | lenient},
		"logRotate":    {first: of(bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128, bson.TypeBoolean, bson.TypeString).with(isLogKind), traits: adminOnly, fields: fields{"comment": anything}},
		"getLog":       {first: text.required(), traits: adminOnly},
		"hostInfo":     {first: anything},
		"ping":         {first: anything, traits: stable}, "buildInfo": {first: anything}, "buildinfo": {first: anything},
		"connectionStatus": {first: anything, fields: fields{"showPrivileges": flag}},
		"top":              {first: anything, traits: adminOnly | lenient},
		"getCmdLineOpts":   {first: anything, traits: adminOnly},
		"profile": {first: number.required(), fields: fields{
			"slowms": number, "sampleRate": number.with(isRate), "filter": anything,
		}},
		"getDefaultRWConcern": {first: anything, traits: adminOnly, fields: fields{"inMemory": boolean}},
	}
}

// isLogKind accepts the logs that can be rotated; a number or true means all.
func isLogKind(path string, v bson.RawValue) error {
	if s, ok := v.StringValueOK(); ok && s != "server" && s != "audit" {
		return mongoerr.New(mongoerr.NoSuchKey, "No log named '%s'", s)
	}
	return nil
}

// isRate accepts a share of all operations.
func isRate(path string, v bson.RawValue) error {
	if f, _ := value.AsFloat64(v); !(f >= 0 && f <= 1) {
		return mongoerr.New(mongoerr.BadValue, "'sampleRate' must be between 0.0 and 1.0 inclusive")
	}
	return nil
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
