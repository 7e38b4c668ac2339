package mongod

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// writeBlock is the user write block: once set returns, no write of an
// unprivileged client that it should stop is on its way.
type writeBlock struct {
	mu      sync.Mutex
	on      bool
	reason  string // why, while it is on
	writing int
	changed bson.Timestamp // the entry of the log that tells of its last change
	before  bool           // whether it was on before
	drained chan struct{}  // closed when writing falls to zero; nil while nobody waits
}

func newWriteBlock() *writeBlock { return &writeBlock{} }

// enter admits a write, or refuses it with UserWritesBlocked. Exempt writes
// are always admitted. After success leave must follow, with the same exempt.
func (b *writeBlock) enter(exempt bool) error {
	if exempt {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on {
		return mongoerr.New(mongoerr.UserWritesBlocked, "User writes blocked")
	}
	b.writing++
	return nil
}

// reenter is enter for a write that was admitted before and has to be done
// again, whatever the block says by now.
func (b *writeBlock) reenter(exempt bool) {
	if exempt {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing++
}

func (b *writeBlock) leave(exempt bool) {
	if exempt {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing--
	if b.writing == 0 && b.drained != nil {
		close(b.drained)
		b.drained = nil
	}
}

// branch returns the block as it is on a line that has branched off after at.
// Nothing is in flight there.
func (b *writeBlock) branch(at bson.Timestamp) *writeBlock {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &writeBlock{on: b.on, reason: b.reason, changed: b.changed, before: b.before}
	if b.changed.After(at) {
		c.on = b.before
	}
	return c
}

// noteBlock logs that the block has changed, as the server logs the document by
// which it knows: a member that has not applied it has no block.
func (l *line) noteBlock() bson.Timestamp {
	return l.log.Noop(value.D("msg", "user write block changed"))
}

// set turns the block on or off, for a reason that has to stay the same while it
// is on. Turning it on waits for the writes in flight; if ctx ends first, the
// block stands all the same.
func (b *writeBlock) set(ctx context.Context, on bool, reason string, note func() bson.Timestamp) error {
	drained, err := b.switchTo(on, reason, note)
	if drained == nil {
		return err
	}
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// switchTo sets the block and returns what to wait for, nil for nothing.
func (b *writeBlock) switchTo(on bool, reason string, note func() bson.Timestamp) (<-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on && b.reason != reason {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Cannot change the user write block: it stands for the reason %s, not %s", b.reason, reason)
	}
	if b.on != on {
		b.before, b.changed = b.on, note()
	}
	b.on, b.reason = on, reason
	if !on || b.writing == 0 {
		return nil, nil
	}
	if b.drained == nil {
		b.drained = make(chan struct{})
	}
	return b.drained, nil
}

func (b *writeBlock) isOn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on
}

// runSetUserWriteBlockMode is setUserWriteBlockMode: {global: bool, reason}.
func runSetUserWriteBlockMode(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	if !a.has("global") {
		return nil, missingField(op.req.Name, "global")
	}
	on, reason := a.bool("global", false), "Unspecified"
	if a.has("reason") {
		reason = a.string("reason")
	}
	if a.err != nil {
		return nil, a.err
	}
	if err := op.line.block.set(ctx, on, reason, op.line.noteBlock); err != nil {
		return nil, err
	}
	return value.D(), op.node.set.keep()
}

// missingField is the server's error for a required field of a command.
func missingField(cmd, field string) error {
	return mongoerr.New(mongoerr.IDLFailedToParse, "BSON field '%s.%s' is missing but a required field", cmd, field)
}
