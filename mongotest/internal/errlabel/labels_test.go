package errlabel_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestLabels(t *testing.T) {
	plain := value.D("insert", "c")
	retryable := value.D("insert", "c", "txnNumber", int64(1))
	inTxn := value.D("insert", "c", "txnNumber", int64(1), "autocommit", false)
	stream := func() bool { return true }
	for name, c := range map[string]struct {
		command string
		body    bson.Raw
		f       errlabel.Failure
		want    []string
	}{
		"no session":                     {"insert", plain, errlabel.Failure{Code: mongoerr.NotWritablePrimary}, nil},
		"retryable write":                {"insert", retryable, errlabel.Failure{Code: mongoerr.NotWritablePrimary}, []string{errlabel.RetryableWrite}},
		"retryable write, its concern":   {"insert", retryable, errlabel.Failure{Concern: mongoerr.ShutdownInProgress}, []string{errlabel.RetryableWrite}},
		"retryable write, final error":   {"insert", retryable, errlabel.Failure{Code: mongoerr.DuplicateKey}, nil},
		"a router passes errors on":      {"insert", retryable, errlabel.Failure{Code: mongoerr.NotWritablePrimary, Router: true}, nil},
		"statement of a transaction":     {"insert", inTxn, errlabel.Failure{Code: mongoerr.NotWritablePrimary}, []string{errlabel.TransientTransaction}},
		"conflict in a transaction":      {"insert", inTxn, errlabel.Failure{Code: mongoerr.WriteConflict, Router: true}, []string{errlabel.TransientTransaction}},
		"concern inside a transaction":   {"insert", inTxn, errlabel.Failure{Concern: mongoerr.ShutdownInProgress}, nil},
		"commit that may be repeated":    {"commitTransaction", inTxn, errlabel.Failure{Code: mongoerr.NotWritablePrimary}, []string{errlabel.RetryableWrite}},
		"commit of what has been undone": {"commitTransaction", inTxn, errlabel.Failure{Code: mongoerr.NoSuchTransaction}, []string{errlabel.TransientTransaction}},
		"the same without the majority":  {"commitTransaction", inTxn, errlabel.Failure{Code: mongoerr.NoSuchTransaction, Concern: mongoerr.WriteConcernTimeout}, nil},
		"stream that may be resumed":     {"getMore", plain, errlabel.Failure{Code: mongoerr.RetryChangeStream, Stream: stream}, []string{errlabel.ResumableChangeStream}},
		"stream on a stale router, 6.0":  {"getMore", plain, errlabel.Failure{Code: 63, Stream: stream}, []string{errlabel.ResumableChangeStream}},
		"cursor that is no stream":       {"getMore", plain, errlabel.Failure{Code: mongoerr.RetryChangeStream}, nil},
		"stream that is lost":            {"getMore", plain, errlabel.Failure{Code: mongoerr.ChangeStreamHistoryLost, Stream: stream}, []string{errlabel.NonResumableChangeStream}},
	} {
		c.f.Request = &command.Request{Name: c.command, Body: c.body}
		assert.Equal(t, c.want, errlabel.Of(c.f), name)
	}
}

func TestStreamsAreRememberedForAWhile(t *testing.T) {
	var s errlabel.Streams
	for id := range int64(1001) {
		s.Add(id)
	}
	assert.False(t, s.Has(0), "the oldest is forgotten")
	assert.True(t, s.Has(1))
	assert.True(t, s.Has(1000))
}
