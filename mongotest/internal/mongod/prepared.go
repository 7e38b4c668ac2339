package mongod

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// What is prepared when the process ends is decided before clients are served: it
// is committed if a participant has committed it, and nobody was told of it
// otherwise.

// preparedKey is the key under which the disk has what a session has prepared.
func preparedKey(s *session, number int64) string {
	return fmt.Sprintf("%s%s/%d", storage.PreparedStates, s.key, number)
}

// runListPrepared tells what was prepared when the process ended.
func runListPrepared(_ context.Context, op *operation) (bson.Raw, error) {
	var keys []string
	about := map[string]bson.Raw{}
	op.line.engine.States(func(key string, doc bson.Raw) {
		if strings.HasPrefix(key, storage.PreparedStates) {
			keys = append(keys, key)
			about[key], _ = doc.Lookup("about").DocumentOK()
		}
	})
	slices.Sort(keys)
	prepared := []any{}
	for _, key := range keys {
		prepared = append(prepared, appendFields(about[key], "key", value.Binary(0, []byte(key))))
	}
	return value.D("prepared", value.A(prepared...)), nil
}

// runHasCommitted tells whether the shard has committed its part of a prepared
// transaction, and as of when.
func runHasCommitted(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	lsid, number := a.doc("session"), a.int64("number", noNumber)
	if a.err != nil {
		return nil, a.err
	}
	want, err := sessionKey(lsid)
	if err != nil {
		return nil, err
	}
	log := op.line.log
	for after := log.Dropped(); ; {
		entries, err := log.Read(after, false, modsBatch)
		if err != nil || len(entries) == 0 {
			return value.D(), err
		}
		for _, e := range entries {
			after = e.TS
			if e.CommandName() != "commitTransaction" || e.Txn.Number != number {
				continue
			}
			if key, err := sessionKey(e.Txn.LSID); err == nil && key == want {
				return value.D("commitTimestamp", e.O.Lookup("commitTimestamp")), nil
			}
		}
	}
}

// runEndPrepared commits or aborts what was prepared under a key.
func runEndPrepared(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	_, key, ok := op.req.Body.Lookup("key").BinaryOK()
	as := a.timestamp("commitTimestamp")
	if a.err != nil || !ok {
		return nil, mongoerr.New(mongoerr.BadValue, "%s needs a key", op.req.Name)
	}
	entry, err := op.line.engine.FinishPrepared(string(key), as)
	if err != nil {
		return nil, err
	}
	return value.D(), op.line.sessions.replay(entry)
}

// replay notes what an entry tells of its session.
func (t *sessionTable) replay(e *oplog.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.earlier(e.Txn.LSID)
	if err != nil {
		return err
	}
	s.replay(e)
	return nil
}
