package schema

import (
	"math"
	"net"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// housekeepingCommands are the commands that look after a server.
func housekeepingCommands() map[string]*spec {
	level := structure(fields{"level": oneOf("local", "majority", "linearizable", "available", "snapshot")})
	dataSize := &spec{first: text.required(), fields: fields{"keyPattern": object, "min": object, "max": object, "estimate": flag}}
	return map[string]*spec{
		"fsync": {first: anything, traits: adminOnly, fields: fields{
			"lock": flag, "async": flag, "fsyncLockAcquisitionTimeoutMillis": of(bson.TypeInt32),
		}},
		"fsyncUnlock": {first: anything, traits: adminOnly | lenient},
		"autoCompact": {first: boolean.required(), traits: adminOnly, fields: fields{
			"freeSpaceTargetMB": number.upTo(math.MaxInt64 >> 20), "runOnce": boolean,
		}},
		"dropConnections": {first: anything, traits: adminOnly, fields: fields{"hostAndPort": arrayOf(text.with(isHostAndPort)).required()}},
		"setDefaultRWConcern": {first: anything, traits: adminOnly, fields: fields{
			"defaultReadConcern": level, "defaultWriteConcern": object.with(isWriteConcern),
		}},
		"getClusterParameter": {first: of(bson.TypeString, bson.TypeArray).with(isNameList).required(), traits: adminOnly | lenient},
		"setClusterParameter": {first: object.required(), traits: adminOnly | lenient},
		"rotateCertificates":  {first: anything, traits: adminOnly, fields: fields{"message": text}},
		"setIndexCommitQuorum": {first: collection, fields: fields{
			"indexNames": arrayOf(text).required(), "commitQuorum": of(bson.TypeInt32, bson.TypeString, bson.TypeInt64, bson.TypeDouble).required(),
		}},
		"compactStructuredEncryptionData": {first: collection, fields: fields{
			"compactionTokens": object.required(), "encryptionInformation": object, "anchorPaddingFactor": number,
		}},
		"reIndex":  {first: collection},
		"lockInfo": {first: anything, traits: adminOnly, fields: fields{"includeStorageEngineDump": flag}},
		"dataSize": dataSize, "datasize": dataSize,
	}
}

func isNameList(path string, v bson.RawValue) error {
	for i, name := range value.Elements(v.Value) {
		if v.Type == bson.TypeArray && name.Type != bson.TypeString {
			return mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type 'string'", path, i, value.TypeName(name.Type))
		}
	}
	return nil
}

// isHostAndPort accepts "host" and "host:port".
func isHostAndPort(_ string, v bson.RawValue) error {
	s := v.StringValue()
	host, port, err := net.SplitHostPort(s)
	n, isNumber := strconv.Atoi(port)
	switch {
	case s != "" && err != nil && !strings.Contains(s, ":"):
		return nil
	case s == "" || err != nil || host == "":
		return mongoerr.New(mongoerr.FailedToParse, "Empty host component parsing HostAndPort from %q", s)
	case isNumber != nil || n < 1 || n > math.MaxUint16:
		return mongoerr.New(mongoerr.FailedToParse, "Port number %q out of range parsing HostAndPort from %q", port, s)
	}
	return nil
}
