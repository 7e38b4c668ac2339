package oplog

import (
	"math"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A Clock is a logical clock in seconds and increments, as MongoDB's cluster
// time. Every replica set and every mongos has one; they learn each other's
// times by gossip, which is Advance. It is safe for concurrent use.
type Clock struct {
	mu   sync.Mutex
	now  bson.Timestamp
	skew time.Duration // of the wall clock it goes by
}

// NewClock returns a clock that has seen no time yet.
func NewClock() *Clock { return &Clock{} }

// Now returns the latest time the clock has given out or heard of. It is zero
// until the first Tick or Advance.
func (c *Clock) Now() bson.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Tick gives out n new times with the same seconds and consecutive increments,
// and returns the first. The seconds are those of the wall clock, or later
// ones if the clock has heard of later ones: it never goes backwards.
func (c *Clock) Tick(n int) bson.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := bson.Timestamp{T: c.now.T, I: c.now.I + 1}
	if wall := uint32(time.Now().Add(c.skew).Unix()); wall > c.now.T {
		first = bson.Timestamp{T: wall, I: 1}
	} else if c.now.I > math.MaxInt32-uint32(n) {
		first = bson.Timestamp{T: c.now.T + 1, I: 1}
	}
	c.now = bson.Timestamp{T: first.T, I: first.I + uint32(n) - 1}
	return first
}

// SetSkew has the clock go by a wall clock that is ahead by so much.
func (c *Clock) SetSkew(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew = d
}

// wall is the time by the wall clock that the clock goes by.
func (c *Clock) wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.skew)
}

// MaxDrift is maxAcceptableLogicalClockDriftSecs: a process takes over no cluster
// time that is later than its own clock by more.
const MaxDrift = 365 * 24 * time.Hour

// CheckDrift refuses a cluster time that is too far ahead of a process's clock.
func CheckDrift(ts bson.Timestamp, now time.Time) error {
	if int64(ts.T) <= now.Add(MaxDrift).Unix() {
		return nil
	}
	return mongoerr.New(mongoerr.ClusterTimeFailsRateLimiter,
		"New cluster time, %d, is too far from this node's wall clock time, %d.", ts.T, now.Unix())
}

// Advance moves the clock forward to ts; an older ts changes nothing.
func (c *Clock) Advance(ts bson.Timestamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ts.After(c.now) {
		c.now = ts
	}
}
