// Package errlabel decides which error labels a server puts on the failure of a
// command: what tells a driver that it may try again, and how.
package errlabel

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// The labels.
const (
	TransientTransaction     = "TransientTransactionError"
	RetryableWrite           = "RetryableWriteError"
	ResumableChangeStream    = "ResumableChangeStreamError"
	NonResumableChangeStream = "NonResumableChangeStreamError"
)

// A Failure is what the labels depend on.
type Failure struct {
	Request *command.Request
	Code    mongoerr.Code // of the command, 0 if it has succeeded
	Concern mongoerr.Code // of its writeConcernError, 0 if it has none
	Stream  func() bool   // whether the command opens or reads a change stream
	Router  bool          // whether a mongos answers
}

// Of returns the labels of a failure.
func Of(f Failure) []string {
	var labels []string
	switch {
	case f.isTransient():
		labels = append(labels, TransientTransaction)
	case f.isRetryableWrite():
		labels = append(labels, RetryableWrite)
	}
	switch {
	case f.Code == mongoerr.ChangeStreamFatalError || f.Code == mongoerr.ChangeStreamHistoryLost:
		labels = append(labels, NonResumableChangeStream)
	case labels == nil && f.isResumable():
		labels = append(labels, ResumableChangeStream)
	}
	return labels
}

// Add returns e with the labels of f, whose code is e's, beside its own.
func Add(e *mongoerr.Error, f Failure) *mongoerr.Error {
	f.Code = e.Code
	for _, label := range Of(f) {
		if !slices.Contains(e.Labels, label) {
			e = e.WithLabel(label)
		}
	}
	return e
}

// inTxn reports whether the command is part of a transaction; autocommit is
// always false where it is given.
func (f Failure) inTxn() bool { return f.Request.Body.Lookup("autocommit").Type != 0 }

func (f Failure) endsTxn() bool {
	return f.Request.Name == "commitTransaction" || f.Request.Name == "abortTransaction"
}

func (f Failure) isTransient() bool {
	switch {
	case f.Code == 0 || !f.inTxn():
		return false
	case slices.Contains(transientCodes, f.Code):
		return true
	case f.endsTxn():
		return f.Code == mongoerr.NoSuchTransaction && f.Concern == 0
	default:
		return f.Code == mongoerr.NoSuchTransaction || Retriable(f.Code)
	}
}

// isRetryableWrite is false for a mongos, which would otherwise pass errors of
// its shards on as its own, and for what a mongos sends to a shard.
func (f Failure) isRetryableWrite() bool {
	if f.Router || f.Request.Routed != nil || f.Request.Body.Lookup("txnNumber").Type == 0 {
		return false
	}
	if f.inTxn() && !f.endsTxn() {
		return false
	}
	return Retriable(f.Code) || Retriable(f.Concern)
}

func (f Failure) isResumable() bool {
	if f.Concern != 0 || !Retriable(f.Code) && !slices.Contains(resumableCodes, f.Code) {
		return false
	}
	return f.Stream != nil && f.Stream()
}
