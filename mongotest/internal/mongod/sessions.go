package mongod

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// noNumber is the transaction number of commands and sessions without one.
const noNumber = -1

// sessionTable holds the logical sessions that clients have used.
type sessionTable struct {
	mu   sync.Mutex
	all  map[string]*session
	past map[string]*session // of before a restart, until somebody uses them
}

// A session is one logical session. Key, lsid and user never change; what is
// below checkedOut belongs to whoever holds the checkout, who changes it under the
// lock, so that an election can copy it.
type session struct {
	key  string   // the bytes of lsid without uid
	lsid bson.Raw // as logged: with the uid of its user
	user string

	mu      sync.Mutex
	lastUse time.Time

	checkedOut chan struct{} // holds an element while an operation has the session
	number     int64         // latest transaction number seen
	results    map[int32]stmtResult
	txn        *transaction // the latest one, in any state
	kept       bool         // some of results are on the disk by themselves
}

// change runs f, which changes what belongs to the checkout.
func (s *session) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func newSessionTable() *sessionTable {
	return &sessionTable{all: map[string]*session{}, past: map[string]*session{}}
}

// use finds or makes the session lsid of client and refreshes it.
func (t *sessionTable) use(lsid bson.Raw, client *command.Client) (*session, error) {
	key, err := sessionKey(lsid)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.all[key]
	if !ok {
		if s, ok = t.past[key]; ok {
			delete(t.past, key)
		} else {
			s = newSession(key, loggedLSID(lsid, client.User))
		}
		s.user = client.User
		t.all[key] = s
	}
	s.touch()
	return s, nil
}

func newSession(key string, lsid bson.Raw) *session {
	return &session{key: key, lsid: lsid, number: noNumber, checkedOut: make(chan struct{}, 1), results: map[int32]stmtResult{}}
}

func (t *sessionTable) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[s.key] == s {
		delete(t.all, s.key)
	}
}

func (t *sessionTable) list() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*session, 0, len(t.all))
	for _, s := range t.all {
		out = append(out, s)
	}
	return out
}

func (s *session) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUse = time.Now()
}

func (s *session) idleSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastUse
}

// checkOut waits until no other operation with a transaction number runs in
// the session. checkIn must follow.
func (s *session) checkOut(ctx context.Context) error {
	select {
	case s.checkedOut <- struct{}{}:
		return nil
	case <-ctx.Done():
		return interrupted(ctx, ctx.Err())
	}
}

// tryCheckOut is checkOut for those who would rather come again.
func (s *session) tryCheckOut() bool {
	select {
	case s.checkedOut <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *session) checkIn() { <-s.checkedOut }

// sessionKey returns what identifies a session: its lsid without uid, for a
// client and a mongos give it with different uids.
func sessionKey(lsid bson.Raw) (string, error) {
	if _, ok := value.ParseUUID(lsid.Lookup("id")); !ok {
		return "", mongoerr.New(mongoerr.TypeMismatch, "BSON field 'lsid.id' must be a UUID")
	}
	elems, err := lsid.Elements()
	if err != nil {
		return "", mongoerr.New(mongoerr.InvalidBSON, "lsid: %v", err)
	}
	var key []byte
	for _, e := range elems {
		if e.Key() != "uid" {
			key = append(key, e...)
		}
	}
	return string(key), nil
}

// loggedLSID returns lsid with uid, the SHA-256 of the user, in second place.
func loggedLSID(lsid bson.Raw, user string) bson.Raw {
	if lsid.Lookup("uid").Type != 0 {
		return append(bson.Raw(nil), lsid...)
	}
	sum := sha256.Sum256([]byte(user))
	pairs := []any{"id", lsid.Lookup("id"), "uid", value.Binary(0, sum[:])}
	for _, field := range []string{"txnNumber", "txnUUID"} {
		if v := lsid.Lookup(field); v.Type != 0 {
			pairs = append(pairs, field, v)
		}
	}
	return value.D(pairs...)
}
