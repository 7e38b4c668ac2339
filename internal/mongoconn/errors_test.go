package mongoconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// byClass repeats the table of codes the other way round: to change what an error
// means takes two hands.
var byClass = map[mongoconn.Class][]int{
	mongoconn.Transient: {
		// servers, networks and elections
		6, 7, 89, 90, 91, 133, 187, 189, 202, 203, 216, 317, 384, 406, 9001, 10107, 11600, 11602, 13435, 13436, 91331,
		// limits and load
		24, 46, 50, 64, 107, 112, 117, 134, 261, 262, 267, 314, 343, 355, 358, 363, 365, 402, 407, 412, 433, 449, 450, 462, 50915,
		// metadata that moves on
		63, 150, 215, 227, 249, 276, 282, 285, 319, 338, 342, 414, 453, 12586, 12587, 13388, 10045600,
		// somebody ended it
		234, 237, 279, 11601, 46841,
		// somebody has to make room, or to lift a block
		371, 14031,
	},
	mongoconn.Doubtful: {1, 18, 70, 96, 125, 204, 205, 210, 211, 283, 366},
	mongoconn.Repairable: {
		2, 14, 23, 26, 27, 28, 29, 40, 43, 48, 52, 56, 57, 66, 68, 85, 86, 118, 166, 175, 206, 209, 217, 222, 225,
		239, 246, 250, 251, 256, 272, 280, 290, 361, 386, 11000,
	},
	mongoconn.Permanent: {
		9, 11, 13, 20, 31, 47, 53, 59, 61, 67, 72, 73, 79, 100, 115, 116, 121, 136, 146, 170, 177, 178, 257, 260, 263,
		286, 292, 322, 323, 324, 326, 347, 352, 359, 370, 403, 10003, 10334, 13113, 13297, 13548, 28769, 31123, 40414,
		40415, 40573, 40674, 50768, 50808, 50865,
	},
}

// Every code means the same wherever it comes: as the error of a command, of a
// statement, or of a write concern.
func TestEveryCodeHasItsClass(t *testing.T) {
	seen := map[int]bool{}
	for want, codes := range byClass {
		for _, code := range codes {
			require.False(t, seen[code], "%d is listed twice", code)
			seen[code] = true
			assert.NotEmpty(t, mongoconn.CodeName(code), "%d", code)
			for what, err := range map[string]error{
				"command":          mongo.CommandError{Code: int32(code)},
				"write error":      mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: code}}},
				"write concern":    mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: code}},
				"bulk write error": mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: mongo.WriteError{Code: code}}}},
			} {
				assert.Equal(t, want, mongoconn.Classify(fmt.Errorf("wrapped: %w", err)), "%d %s as %s", code, mongoconn.CodeName(code), what)
			}
		}
	}
	assert.Len(t, seen, mongoconn.CodeCount(), "a code of the table is not in this test")
}

// poolClearedError is like the error of the driver's pool, whose type is not public.
type poolClearedError struct{}

func (poolClearedError) Error() string   { return "connection pool was cleared" }
func (poolClearedError) Retryable() bool { return true }

func TestClassify(t *testing.T) {
	server := func(code int32, labels ...string) error {
		return fmt.Errorf("wrapped: %w", mongo.CommandError{Code: code, Labels: labels})
	}
	statements := func(concern int, codes ...int) error {
		var we mongo.WriteException
		for _, c := range codes {
			we.WriteErrors = append(we.WriteErrors, mongo.WriteError{Code: c})
		}
		if concern != 0 {
			we.WriteConcernError = &mongo.WriteConcernError{Code: concern}
			we.Labels = []string{"RetryableWriteError"}
		}
		return we
	}
	tests := []struct {
		name string
		err  error
		want mongoconn.Class
	}{
		{"nothing", nil, mongoconn.None},
		{"an unknown code", server(987654), mongoconn.Doubtful},
		{"an unknown code with a label", server(987654, "RetryableWriteError"), mongoconn.Transient},
		{"too much load, said by a label", server(987654, "SystemOverloadedError"), mongoconn.Transient},
		{"a stream that can be resumed", server(987654, "ResumableChangeStreamError"), mongoconn.Transient},
		{"a transaction that can be run again", server(987654, "TransientTransactionError"), mongoconn.Transient},
		{"a label that says no more", server(286, "NonResumableChangeStreamError"), mongoconn.Permanent},
		{"a duplicate that came with a write concern error", statements(64, 11000), mongoconn.Repairable},
		{"the worst of several statements", statements(0, 112, 13), mongoconn.Permanent},
		{"statements that only collided", statements(0, 112, 112), mongoconn.Transient},
		{"connection closed", fmt.Errorf("read: %w", io.EOF), mongoconn.Transient},
		{"the driver's form of it", mongo.CommandError{Labels: []string{"NetworkError"}, Wrapped: io.EOF}, mongoconn.Transient},
		{"the driver's form of a time limit", mongo.CommandError{Wrapped: context.DeadlineExceeded}, mongoconn.Transient},
		{"not sent, because the pool was cleared", fmt.Errorf("insert: %w", poolClearedError{}), mongoconn.Transient},
		{"asked to stop", context.Canceled, mongoconn.Permanent},
		{"asked to stop, seen as a network error", mongo.CommandError{Labels: []string{"NetworkError"}, Wrapped: context.Canceled}, mongoconn.Permanent},
		{"no server error", errors.New("boom"), mongoconn.Permanent},
		{"our own, that passes", fmt.Errorf("boom: %w", mongoconn.ErrPasses), mongoconn.Transient},
		{"tried for long enough", fmt.Errorf("%w: %w", mongoconn.ErrGaveUp, server(6)), mongoconn.Permanent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, mongoconn.Classify(tt.err), "got %v", mongoconn.Classify(tt.err))
		})
	}
}

// A server that is not there is waited for.
func TestAServerThatIsNotThereIsTransient(t *testing.T) {
	client, err := mongoconn.Connect(mongoconn.Config{URI: "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50&connectTimeoutMS=50"})
	require.NoError(t, err)
	defer func() { assert.NoError(t, client.Disconnect(t.Context())) }()
	err = client.Ping(t.Context(), nil)
	require.Error(t, err)
	assert.Equal(t, mongoconn.Transient, mongoconn.Classify(err), "%v", err)
	assert.Contains(t, mongoconn.Reason(err), "cannot be reached")
}

func TestReasonsAreShort(t *testing.T) {
	assert.Equal(t, "no space is left on its disk (OutOfDiskSpace)", mongoconn.Reason(mongo.CommandError{Code: 14031}))
	assert.Equal(t, "ExceededTimeLimit (262)", mongoconn.Reason(mongo.CommandError{Code: 262}))
	assert.Equal(t, "error 987654", mongoconn.Reason(mongo.CommandError{Code: 987654}))
	assert.Equal(t, "boom", mongoconn.Reason(errors.New("boom")))
}
