package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runFreeze is replSetFreeze: a secondary seeks no election for so many seconds.
func runFreeze(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	seconds := a.count("replSetFreeze", 0)
	if a.err != nil {
		return nil, a.err
	}
	if err := op.node.Freeze(time.Duration(seconds) * time.Second); err != nil {
		return nil, err
	}
	switch seconds {
	case 0:
		return value.D("info", "unfreezing"), nil
	case 1:
		return value.D("warning", "you really want to freeze for only 1 second?"), nil
	}
	return value.D(), nil
}

// The sizes that replSetResizeOplog takes, in megabytes.
const (
	leastOplogMB = 990
	mostOplogMB  = 1 << 30
)

// runResizeOplog is replSetResizeOplog: {size: megabytes, minRetentionHours}. There
// is no least time that entries are kept here, so only 0 is taken for it.
func runResizeOplog(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	size, hasSize := value.AsFloat64(a.lookup("size"))
	hours, hasHours := value.AsFloat64(a.lookup("minRetentionHours"))
	switch {
	case a.has("size") && !hasSize:
		a.mismatch("size", "double", a.lookup("size"))
	case a.has("minRetentionHours") && !hasHours:
		a.mismatch("minRetentionHours", "double", a.lookup("minRetentionHours"))
	case !hasSize && !hasHours:
		a.fail(mongoerr.InvalidOptions, "Expected either the 'size' or the 'minRetentionHours' parameter")
	case hasSize && size < leastOplogMB:
		a.fail(mongoerr.BadValue, "BSON field 'size' value must be >= %d, actual value '%v'", leastOplogMB, size)
	case hasSize && size > mostOplogMB:
		a.fail(mongoerr.BadValue, "BSON field 'size' value must be <= %d, actual value '%v'", mostOplogMB, size)
	case hasHours && hours < 0:
		a.fail(mongoerr.BadValue, "BSON field 'minRetentionHours' value must be >= 0, actual value '%v'", hours)
	case hours > 0:
		a.fail(mongoerr.CommandNotSupported, "minRetentionHours is not simulated")
	}
	if a.err != nil {
		return nil, a.err
	}
	if hasSize {
		limits := op.line.log.Limits()
		op.line.log.Resize(oplog.Options{MaxEntries: limits.MaxEntries, MaxBytes: int64(size) << 20})
	}
	return value.D(), nil
}
