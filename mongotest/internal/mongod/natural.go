package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// naturalScan is what a command says about resuming a natural-order scan: the
// options $_requestResumeToken, $_resumeAfter and $_startAt (server-facts 4.1).
type naturalScan struct {
	wanted  bool     // resume tokens are asked for
	after   bson.Raw // {$recordId: ...}, nil without
	startAt bool     // a record that is gone is no error
}

func (a *args) naturalScan() naturalScan {
	n := naturalScan{wanted: a.bool("$_requestResumeToken", false), after: a.doc("$_resumeAfter")}
	if at := a.doc("$_startAt"); at != nil {
		if n.after != nil {
			a.fail(mongoerr.BadValue, "Cannot specify both '$_resumeAfter' and '$_startAt'")
		}
		n.after, n.startAt = at, true
	}
	return n
}

// check refuses the options where they make no sense.
func (n naturalScan) check(w wanted) error {
	if !n.wanted && n.after == nil {
		return nil
	}
	direction, ok, err := naturalHint(w.hint)
	switch {
	case err != nil:
		return err
	case !n.wanted:
		return mongoerr.New(mongoerr.BadValue, "'$_requestResumeToken' must be true if '$_resumeAfter' or '$_startAt' is specified")
	case !ok || direction != 1:
		return mongoerr.New(mongoerr.BadValue, "hint must be {$natural:1} if 'requestResumeToken' is enabled")
	case !isEmpty(w.sort) && naturalSort(w.sort) != 1:
		return mongoerr.New(mongoerr.BadValue, "sort must be unset or {$natural:1} if 'requestResumeToken' is enabled")
	default:
		return nil
	}
}

// checkExists fails if a position in a collection that does not exist is asked for.
func (n naturalScan) checkExists() error {
	if n.after == nil || n.startAt || n.after.Lookup("$recordId").Type == bson.TypeNull {
		return nil
	}
	return keyNotFound()
}

func keyNotFound() error {
	return mongoerr.New(mongoerr.KeyNotFound, "Failed to resume collection scan: the recordId from which we are attempting to resume no longer exists in the collection")
}

// start moves a new scan to the position that is asked for.
func (n naturalScan) start(tx *storage.Tx, c *storage.Collection, s *scanSource) error {
	if n.after == nil {
		return nil
	}
	at := n.after.Lookup("$recordId")
	if at.Type == bson.TypeNull {
		return nil
	}
	key, exists, err := recordPosition(tx, c, at)
	if err != nil {
		return err
	}
	if !exists && !n.startAt {
		return keyNotFound()
	}
	s.pos = position{key: key}
	s.next = s.pos
	return nil
}

// recordPosition is the scan position of a $recordId as naturalToken gives it.
func recordPosition(tx *storage.Tx, c *storage.Collection, at bson.RawValue) (key storage.Key, exists bool, err error) {
	if _, entry, ok := at.BinaryOK(); ok && c.Clustered() {
		for k := range tx.Scan(c, storage.ScanSpec{Min: entry, Max: entry, MinIncl: true, MaxIncl: true}) {
			return k, true, nil
		}
		return storage.Key{Entry: string(entry)}, false, nil
	}
	id, ok := value.AsInt64(at)
	if !ok || c.Clustered() {
		return storage.Key{}, false, mongoerr.New(mongoerr.BadValue, "Malformed resume token: the '$_resumeAfter' object must contain exactly one field named '$recordId', of type NumberLong, BinData or jstNULL.")
	}
	_, exists = tx.Get(c, id)
	return storage.Key{ID: id}, exists, nil
}

// naturalToken is the postBatchResumeToken of a natural scan: the last record
// handed out, or null at the end.
func (s *scanSource) naturalToken() bson.Raw {
	switch {
	case s.ended && len(s.ahead) == 0 || s.pos == (position{}):
		return value.D("$recordId", nil)
	case s.pos.key.Entry != "":
		return value.D("$recordId", value.Binary(0, []byte(s.pos.key.Entry)))
	default:
		return value.D("$recordId", s.pos.key.ID)
	}
}
