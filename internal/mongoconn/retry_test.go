package mongoconn_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

var (
	errThrottled = mongo.CommandError{Code: 262}
	errStrange   = mongo.CommandError{Code: 987654}
	errExists    = mongo.CommandError{Code: 48}
)

// What passes within the limit is waited for, and told meanwhile.
func TestAnOutageIsWaitedOutAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits mongoconn.Waits
		begin := time.Now()
		ended := make(chan error)
		go func() {
			ended <- mongoconn.Retrier{GiveUpAfter: time.Hour, Waits: &waits}.Do(t.Context(), "write", func(context.Context) error {
				if time.Since(begin) < 50*time.Minute {
					return mongo.CommandError{Code: 14031}
				}
				return nil
			})
		}()
		time.Sleep(time.Minute)
		w := waits.Longest()
		require.NotNil(t, w)
		assert.Equal(t, "write", w.What)
		assert.Contains(t, w.Why, "OutOfDiskSpace")
		assert.Equal(t, begin, w.Since)
		require.NoError(t, <-ended)
		assert.Nil(t, waits.Longest())
	})
}

// What does not pass ends after the limit, and not before.
func TestTransientErrorsAreGivenUpAfterTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits mongoconn.Waits
		begin := time.Now()
		err := mongoconn.Retrier{GiveUpAfter: time.Hour, Waits: &waits}.Do(t.Context(), "write", func(context.Context) error { return errThrottled })
		require.ErrorIs(t, err, mongoconn.ErrGaveUp)
		require.ErrorAs(t, err, &mongo.CommandError{}, "it says what it met")
		assert.InDelta(t, time.Hour, time.Since(begin), float64(10*time.Second))
		assert.Nil(t, waits.Longest())
	})
}

// Progress in between begins the time anew: an operation that takes long is not
// one that fails for long.
func TestProgressBeginsTheTimeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mongoconn.Patience{Limit: time.Minute}
		for range 10 {
			require.NoError(t, p.Failed(errThrottled))
			time.Sleep(50 * time.Second)
			require.NoError(t, p.Failed(errThrottled))
			p.Progress()
		}
		require.NoError(t, p.Failed(errThrottled))
		time.Sleep(time.Minute)
		require.ErrorIs(t, p.Failed(errThrottled), mongoconn.ErrGaveUp)
	})
}

// What is doubtful is tried a few times; what is repairable is for the caller,
// unless starting anew is the repair.
func TestDoubtIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := mongoconn.Retrier{GiveUpAfter: time.Hour}.Do(t.Context(), "write", func(context.Context) error { tries++; return errStrange })
		require.ErrorIs(t, err, mongoconn.ErrGaveUp)
		assert.Equal(t, 11, tries)

		tries = 0
		err = mongoconn.Retrier{GiveUpAfter: time.Hour}.Do(t.Context(), "create", func(context.Context) error { tries++; return errExists })
		assert.Equal(t, mongoconn.Repairable, mongoconn.Classify(err))
		assert.Equal(t, 1, tries)

		p := mongoconn.Patience{Limit: time.Hour}
		for range 10 {
			require.NoError(t, p.Again(errExists))
		}
		require.ErrorIs(t, p.Again(errExists), mongoconn.ErrGaveUp)
	})
}

// A step of something larger does not decide for it: after a minute it returns
// what it met.
func TestRetryBridgesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := mongoconn.Retry(t.Context(), nil, "create", func(context.Context) error { return errThrottled })
		assert.Equal(t, mongoconn.Transient, mongoconn.Classify(err), "%v", err)
		assert.InDelta(t, time.Minute, time.Since(begin), float64(10*time.Second))
	})
}

// Whoever is told to stop stops, with the reason.
func TestRetriesEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Minute)
			cancel(why)
		}()
		err := mongoconn.Retrier{GiveUpAfter: time.Hour}.Do(ctx, "write", func(context.Context) error { return errThrottled })
		require.ErrorIs(t, err, why)
	})
}
