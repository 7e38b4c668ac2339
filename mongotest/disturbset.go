package mongotest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// StepDown makes a shard's primary step down, and keeps it from being elected for
// a time. See Cluster.StepDown.
type StepDown struct {
	Shard string
	For   time.Duration
}

func (StepDown) kind() string { return "stepDown" }

func (d StepDown) fields() bson.D {
	return bson.D{{"shard", d.Shard}, {"stepDownSecs", d.For.Seconds()}}
}

func (d StepDown) begin(ctx context.Context, c *Cluster) (func(context.Context) error, error) {
	if _, err := c.set(d.Shard); err != nil {
		return nil, fmt.Errorf("shard: %w", err)
	}
	return nil, c.StepDown(ctx, d.Shard, d.For)
}

// Frozen keeps secondaries from seeking an election, as replSetFreeze does.
type Frozen struct{ Process string }

func (Frozen) kind() string     { return "freeze" }
func (d Frozen) fields() bson.D { return bson.D{{"process", d.Process}} }

// forever is how long Frozen lasts if nothing ends it.
const forever = 100 * 365 * 24 * time.Hour

func (d Frozen) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	ms, err := c.membersNamed(d.Process)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	for _, m := range ms {
		if m.node.IsPrimary() {
			return nil, fmt.Errorf("process: %s is the primary", m.addr)
		}
	}
	for _, m := range ms {
		if err := m.node.Freeze(forever); err != nil {
			return nil, err
		}
	}
	return func(context.Context) error {
		for _, m := range ms {
			m.node.Thaw()
		}
		return nil
	}, nil
}

// Lag lets members stay behind by a time as long as they are secondaries, or apply
// nothing at all if that is 0.
type Lag struct {
	Process string
	By      time.Duration
}

func (Lag) kind() string     { return "lag" }
func (d Lag) fields() bson.D { return bson.D{{"process", d.Process}, {"lagMS", d.By.Milliseconds()}} }

func (d Lag) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	if d.By < 0 {
		return nil, fmt.Errorf("lagMS: %v is below 0", d.By)
	}
	if d.By == 0 {
		return c.onMembers(d.Process, func(m *member) { m.node.Lag(true) }, func(m *member) { m.node.Lag(false) })
	}
	return c.onMembers(d.Process, func(m *member) { m.node.StayBehind(d.By) }, func(m *member) { m.node.StayBehind(0) })
}

// FrozenMajority keeps a shard's majority commit point where it is. Writes that
// wait for no majority are acknowledged; those that do wait, and so do change
// streams, until it is over.
type FrozenMajority struct{ Shard string }

func (FrozenMajority) kind() string     { return "freezeMajority" }
func (d FrozenMajority) fields() bson.D { return bson.D{{"shard", d.Shard}} }

func (d FrozenMajority) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	s, err := c.set(d.Shard)
	if err != nil {
		return nil, fmt.Errorf("shard: %w", err)
	}
	s.any().Set().FreezeMajority(true)
	return func(context.Context) error { s.any().Set().FreezeMajority(false); return nil }, nil
}

// Oplog bounds a shard's oplog from now on, or with Truncate drops all entries but
// the last once. What change streams then miss fails them with
// ChangeStreamHistoryLost.
type Oplog struct {
	Shard    string
	Truncate bool
	Entries  int
	Bytes    int64
}

func (Oplog) kind() string { return "oplog" }

func (d Oplog) fields() bson.D {
	return bson.D{{"shard", d.Shard}, {"truncate", d.Truncate}, {"entries", int64(d.Entries)}, {"bytes", d.Bytes}}
}

func (d Oplog) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	s, err := c.set(d.Shard)
	switch {
	case err != nil:
		return nil, fmt.Errorf("shard: %w", err)
	case d.Entries < 0:
		return nil, fmt.Errorf("entries: %d is below 0", d.Entries)
	case d.Bytes < 0:
		return nil, fmt.Errorf("bytes: %d is below 0", d.Bytes)
	case !d.Truncate && d.Entries == 0 && d.Bytes == 0:
		return nil, errors.New("truncate, entries or bytes is needed")
	}
	if d.Truncate {
		if err := c.TruncateOplog(d.Shard, bson.Timestamp{}); err != nil {
			return nil, err
		}
	}
	if d.Entries == 0 && d.Bytes == 0 {
		return nil, nil
	}
	before := s.log().Limits()
	s.resize(oplog.Options{MaxEntries: d.Entries, MaxBytes: d.Bytes})
	return func(context.Context) error { s.resize(before); return nil }, nil
}

// resize bounds the oplog of every member.
func (s *replicaSet) resize(o oplog.Options) {
	for _, m := range s.members {
		m.node.Log().Resize(o)
	}
}
