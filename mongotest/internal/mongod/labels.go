package mongod

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// retriable holds the codes of the server's RetriableError and NetworkError
// categories: for these a driver may send the same write again.
var retriable = []mongoerr.Code{
	mongoerr.HostUnreachable, mongoerr.HostNotFound, mongoerr.NetworkTimeout, mongoerr.ShutdownInProgress,
	mongoerr.PrimarySteppedDown, mongoerr.ExceededTimeLimit, mongoerr.SocketException, mongoerr.NotWritablePrimary,
	mongoerr.InterruptedAtShutdown, mongoerr.InterruptedDueToReplStateChange, mongoerr.NotPrimaryNoSecondaryOk,
	mongoerr.NotPrimaryOrSecondary, mongoerr.ReadConcernMajorityNotAvailableYet,
	mongoerr.NetworkInterfaceExceededTimeLimit,
}

// resumable are the further codes after which a change stream may be resumed.
var resumable = []mongoerr.Code{
	mongoerr.StaleConfig, mongoerr.StaleEpoch, mongoerr.RetryChangeStream, mongoerr.FailedToSatisfyReadPreference,
}

// transient are the further codes after which a whole transaction may be retried.
var transient = []mongoerr.Code{
	mongoerr.WriteConflict, mongoerr.LockTimeout, mongoerr.PreparedTransactionInProgress, mongoerr.StaleDbVersion,
	mongoerr.SnapshotTooOld, mongoerr.SnapshotUnavailable, mongoerr.MigrationConflict, mongoerr.NoSuchTransaction,
}

// label adds the error labels that the server attaches to a failed command
// (server-facts 2.8 and 6.4), and logs the failure.
func (n *Node) label(req *command.Request, err error) error {
	e := mongoerr.From(err)
	n.cfg.Logger.Debug("command failed", "command", req.Name, "db", req.DB, "error", e)
	add := func(label string) {
		if !slices.Contains(e.Labels, label) {
			e = e.WithLabel(label)
		}
	}
	autocommit, hasAutocommit := req.Body.Lookup("autocommit").BooleanOK()
	inTxn := hasAutocommit && !autocommit
	ends := req.Name == "commitTransaction" || req.Name == "abortTransaction"
	isRetriable := slices.Contains(retriable, e.Code)
	switch {
	case inTxn && !ends && (isRetriable || slices.Contains(transient, e.Code)):
		add(labelTransient)
	case inTxn && ends && isRetriable:
		add("RetryableWriteError")
	case !inTxn && isRetriable && req.Body.Lookup("txnNumber").Type != 0:
		add("RetryableWriteError")
	}
	n.labelStream(req, e.Code, isRetriable, add)
	return e
}

// labelStream adds the labels of change stream errors.
func (n *Node) labelStream(req *command.Request, code mongoerr.Code, isRetriable bool, add func(string)) {
	switch {
	case code == mongoerr.ChangeStreamFatalError || code == mongoerr.ChangeStreamHistoryLost:
		add("NonResumableChangeStreamError")
	case (isRetriable || slices.Contains(resumable, code)) && n.concernsStream(req):
		add("ResumableChangeStreamError")
	}
}

// concernsStream reports whether req opens or reads a change stream.
func (n *Node) concernsStream(req *command.Request) bool {
	switch req.Name {
	case "aggregate":
		stages, err := pipelineOf(req)
		return err == nil && len(stages) > 0 && stages[0].Lookup("$changeStream").Type != 0
	case "getMore":
		// The cursor may be gone by now, so the table remembers which were streams.
		id, _ := req.Body.Lookup("getMore").AsInt64OK()
		return n.cursors.wasStream(id)
	default:
		return false
	}
}
