package oplog_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

func TestClockFollowsTheWallClockAndNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := oplog.NewClock()
		assert.True(t, c.Now().IsZero())

		now := uint32(time.Now().Unix())
		assert.Equal(t, bson.Timestamp{T: now, I: 1}, c.Tick(1))
		assert.Equal(t, bson.Timestamp{T: now, I: 2}, c.Tick(3), "the first of three")
		assert.Equal(t, bson.Timestamp{T: now, I: 4}, c.Now())

		time.Sleep(2 * time.Second)
		assert.Equal(t, bson.Timestamp{T: now + 2, I: 1}, c.Tick(1))

		ahead := bson.Timestamp{T: now + 100, I: 7}
		c.Advance(ahead)
		c.Advance(bson.Timestamp{T: now, I: 1})
		assert.Equal(t, ahead, c.Now(), "gossip moves it forward only")
		assert.Equal(t, bson.Timestamp{T: now + 100, I: 8}, c.Tick(1))
	})
}
