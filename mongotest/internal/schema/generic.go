package schema

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// generic are the fields that every command accepts.
var generic = fields{
	"$db": text, "$clusterTime": anything, "$readPreference": anything, "$queryOptions": anything,
	"$audit": anything, "$client": anything, "$configServerState": anything, "$oplogQueryData": anything,
	"$replData": anything, "$configTime": anything, "$topologyTime": anything, "$tenant": anything,
	"$configServerTime": anything, "$gleStats": anything,

	"lsid": sessionID, "txnNumber": long, "autocommit": boolean, "startTransaction": boolean, "coordinator": anything,
	"clientOperationKey": uuid, "txnRetryCounter": anything,

	"comment": anything, "maxTimeMS": number.with(isMilliseconds), "maxTimeMSOpOnly": number,
	"readConcern": readConcern, "writeConcern": object.with(isWriteConcern),
	"apiVersion": text, "apiStrict": boolean, "apiDeprecationErrors": boolean,

	"databaseVersion": anything, "shardVersion": anything, "tracking_info": anything, "rawData": boolean,
	"mayBypassWriteBlocking": boolean, "expectPrefix": boolean, "requestGossipRoutingCache": anything,
	"isClusterQueryWithoutShardKeyCmd": anything, "versionContext": anything, "help": flag,
}

// sessionID is the form in which a client names a session of its own.
var sessionID = structure(fields{
	"id": uuid.required(), "uid": binary, "txnNumber": long, "txnUUID": uuid, "stxnRetryCounter": number,
})

// provenance says who has chosen a read or write concern.
var provenance = oneOf("clientSupplied", "implicitDefault", "customDefault", "getLastErrorDefaults", "internalWriteDefault")

var readConcern = structure(fields{
	"level":            oneOf("local", "majority", "linearizable", "available", "snapshot"),
	"afterClusterTime": stamp.notNull(), "atClusterTime": stamp.notNull(), "afterOpTime": object,
	"provenance":                    provenance,
	"allowTransactionTableSnapshot": flag, "waitLastStableRecoveryTimestamp": flag,
})

// isMilliseconds accepts whole numbers that fit into 32 bits.
func isMilliseconds(path string, v bson.RawValue) error {
	ms, _ := value.AsFloat64(v)
	isDecimal := v.Type == bson.TypeDecimal128
	switch {
	case ms != math.Trunc(ms) || math.IsInf(ms, 0) || isDecimal && math.Abs(ms) >= 1<<63: // NaN is unequal too
		return mongoerr.New(mongoerr.FailedToParse, "%s has non-integral value", path)
	case ms < 0 || ms > math.MaxInt32:
		return mongoerr.New(mongoerr.BadValue, "%v value for %s is out of range [0, %d]", ms, path, math.MaxInt32)
	default:
		return nil
	}
}

// mostNodes is the highest w: replica sets have no more members.
const mostNodes = 50

// isWriteConcern checks what a writeConcern asks for. Its numbers are read
// leniently; it is no structure of the server's description language.
func isWriteConcern(_ string, v bson.RawValue) error {
	for name, e := range value.Elements(v.Document()) {
		if isNothing(e) {
			continue
		}
		var err error
		switch name {
		case "w":
			err = isWriteConcernW(e)
		case "j", "fsync":
			err = flag.accepts("writeConcern."+name, e)
		case "wtimeout":
			if i, ok := value.AsInt64(e); ok && i > math.MaxInt32 {
				err = mongoerr.New(mongoerr.FailedToParse, "wtimeout must be a 32-bit integer")
			}
		case "provenance":
			err = provenance.check("writeConcern.provenance", e)
		case "wElectionId", "wOpTime", "getLastError":
		default:
			err = mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'writeConcern.%s' is an unknown field.", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isWriteConcernW(w bson.RawValue) error {
	if w.Type == bson.TypeString {
		return nil
	}
	if tags, ok := w.DocumentOK(); ok {
		return areTags(tags)
	}
	n, ok := value.AsInt64(w)
	f, _ := value.AsFloat64(w)
	switch {
	case !ok || math.IsNaN(f):
		return mongoerr.New(mongoerr.FailedToParse, "w has to be a number, string, or object; found: %s", value.TypeName(w.Type))
	case n < 0 || n > mostNodes:
		return mongoerr.New(mongoerr.FailedToParse, "w has to be a non-negative number and not greater than %d; found: %d", mostNodes, n)
	default:
		return nil
	}
}

// areTags checks the form of w that counts the members by their tags.
func areTags(tags bson.Raw) error {
	n := 0
	for name, v := range value.Elements(tags) {
		if _, ok := value.AsInt64(v); !ok {
			return mongoerr.New(mongoerr.FailedToParse, "tags must be a single level document with only number values; found: %s of type %s", name, value.TypeName(v.Type))
		}
		n++
	}
	if n == 0 {
		return mongoerr.New(mongoerr.FailedToParse, "tagged write concern requires tags")
	}
	return nil
}
