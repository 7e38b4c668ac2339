package mongod

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// defaultConcerns are the concerns of commands that name none, as
// setDefaultRWConcern set them. The zero value has none.
type defaultConcerns struct {
	mu      sync.Mutex
	read    string   // a level, "" if none was set
	write   bson.Raw // nil if none was set
	updated bson.Timestamp
	at      time.Time
}

// level returns the level that reads have which name none.
func (d *defaultConcerns) level() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read
}

// concern returns the write concern that writes have which name none, nil if
// it is the server's own.
func (d *defaultConcerns) concern() bson.Raw {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write
}

func (d *defaultConcerns) describe() []any {
	d.mu.Lock()
	defer d.mu.Unlock()
	read, readFrom := "local", "implicit"
	if d.read != "" {
		read, readFrom = d.read, "global"
	}
	write, writeFrom := value.D("w", "majority", "wtimeout", 0), "implicit"
	if d.write != nil {
		write, writeFrom = d.write, "global"
	}
	pairs := []any{
		"defaultReadConcern", value.D("level", read), "defaultWriteConcern", write,
		"defaultWriteConcernSource", writeFrom, "defaultReadConcernSource", readFrom,
	}
	if !d.updated.IsZero() {
		pairs = append(pairs, "updateOpTime", d.updated, "updateWallClockTime", d.at)
	}
	return append(pairs, "localUpdateWallClockTime", time.Now())
}

func runGetDefaultRWConcern(_ context.Context, op *operation) (bson.Raw, error) {
	pairs := op.node.set.wide.concerns.describe()
	if op.args().bool("inMemory", false) {
		pairs = append(pairs, "inMemory", true)
	}
	return value.D(pairs...), nil
}

// runSetDefaultRWConcern sets one of the defaults or both. An empty document
// unsets the one for reads; the one for writes stays once it was set.
func runSetDefaultRWConcern(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	read, write := a.doc("defaultReadConcern"), a.doc("defaultWriteConcern")
	if a.err != nil {
		return nil, a.err
	}
	if read == nil && write == nil {
		return nil, mongoerr.New(mongoerr.BadValue, "At least one of the \"defaultReadConcern\" or \"defaultWriteConcern\" fields must be present")
	}
	level, _ := read.Lookup("level").StringValueOK()
	if level == "linearizable" || level == "snapshot" {
		return nil, mongoerr.New(mongoerr.BadValue, "level: '%s' is not suitable for the default read concern", level)
	}
	if !isEmpty(write) {
		var err error
		if write, err = op.defaultWrite(write); err != nil {
			return nil, err
		}
	}
	d := &op.node.set.wide.concerns
	if write != nil && isEmpty(write) && d.concern() != nil {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "The global default write concern cannot be unset once it is set.")
	}
	at := op.line.log.Noop(value.D("msg", "default concerns changed"))
	d.mu.Lock()
	if read != nil {
		d.read = level
	}
	if !isEmpty(write) {
		d.write = write
	}
	d.updated, d.at = at, time.Now()
	d.mu.Unlock()
	return value.D(d.describe()...), op.node.set.keep()
}

// defaultWrite checks a default write concern and completes it.
func (op *operation) defaultWrite(wc bson.Raw) (bson.Raw, error) {
	w := wc.Lookup("w")
	name, isName := w.StringValueOK()
	switch {
	case isName && name != "majority", w.Type == bson.TypeNull:
		return nil, mongoerr.New(mongoerr.UnknownReplWriteConcern, "No write concern mode named '%s' found in replica set configuration", name)
	case w.Type == 0:
		return nil, mongoerr.New(mongoerr.BadValue, "The default write concern needs a 'w'")
	}
	if n, ok := value.AsInt64(w); ok && n == 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "The default write concern must have a non-zero 'w'")
	}
	pairs := []any{"w", w}
	for _, field := range []string{"j", "wtimeout"} {
		v := wc.Lookup(field)
		if v.Type == 0 && field == "wtimeout" {
			v = value.Int32(0)
		}
		pairs = append(pairs, field, v)
	}
	return value.D(pairs...), nil
}
