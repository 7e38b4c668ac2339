package errlabel

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// retriableCodes are the codes of the server's categories RetriableError and
// NetworkError: for these a driver may send the same write again.
var retriableCodes = []mongoerr.Code{
	mongoerr.HostUnreachable, mongoerr.HostNotFound, mongoerr.NetworkTimeout, mongoerr.ShutdownInProgress,
	mongoerr.PrimarySteppedDown, mongoerr.ExceededTimeLimit, mongoerr.SocketException, mongoerr.NotWritablePrimary,
	mongoerr.InterruptedAtShutdown, mongoerr.InterruptedDueToReplStateChange, mongoerr.NotPrimaryNoSecondaryOk,
	mongoerr.NotPrimaryOrSecondary, mongoerr.ReadConcernMajorityNotAvailableYet,
	mongoerr.NetworkInterfaceExceededTimeLimit,
}

// staleShardVersion is a code of 6.0, which later servers do not have any more.
const staleShardVersion mongoerr.Code = 63

// resumableCodes are the further codes after which a change stream may be
// resumed.
var resumableCodes = []mongoerr.Code{
	staleShardVersion,
	mongoerr.StaleConfig, mongoerr.StaleEpoch, mongoerr.RetryChangeStream, mongoerr.FailedToSatisfyReadPreference,
}

// transientCodes are the codes after which a whole transaction may be retried,
// whichever of its commands failed.
var transientCodes = []mongoerr.Code{
	mongoerr.WriteConflict, mongoerr.LockTimeout, mongoerr.PreparedTransactionInProgress, mongoerr.StaleDbVersion,
	mongoerr.SnapshotTooOld, mongoerr.SnapshotUnavailable, mongoerr.StaleConfig, mongoerr.StaleEpoch,
	mongoerr.MigrationConflict,
}

// Retriable reports whether a command that failed with code may be sent again.
func Retriable(code mongoerr.Code) bool { return slices.Contains(retriableCodes, code) }

// EndsTransaction reports whether a statement of a transaction that fails with
// code fails the transaction as a whole.
func EndsTransaction(code mongoerr.Code) bool {
	return code == mongoerr.NoSuchTransaction || slices.Contains(transientCodes, code)
}
