package mongos

import (
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// sessionIdle is localLogicalSessionTimeoutMinutes.
const sessionIdle = 30 * time.Minute

// txnLifetime is transactionLifetimeLimitSeconds.
const txnLifetime = time.Minute

type txnState int

const (
	txnOpen txnState = iota
	txnCommitted
	txnAborted
)

// A txn is the newest transaction of one session on this router. The shards it
// touched are its participants; each began it with its first statement there.
type txn struct {
	lsid        bson.RawValue
	number      bson.RawValue
	began       time.Time
	readConcern bson.RawValue // of the first statement, for each shard's first; type 0 if none

	at    bson.Timestamp // all that it reads is of this time; zero if each shard chooses
	since bson.Timestamp // else from when on collections must have stayed where they are

	mu           sync.Mutex
	state        txnState
	participants []string
	writers      []string          // those of them that have written
	locks        map[string]func() // held until the end, by name
}

// join returns the transaction fields for a command to shard, which becomes a
// participant if it was none.
func (t *txn) join(shard string) (bson.D, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := bson.D{{"lsid", t.lsid}, {"txnNumber", t.number}, {"autocommit", false}}
	if t.state != txnOpen || slices.Contains(t.participants, shard) {
		return d, nil
	}
	t.participants = append(t.participants, shard)
	d = append(d, bson.E{Key: "startTransaction", Value: true})
	if t.readConcern.Type != 0 {
		d = append(d, bson.E{Key: "readConcern", Value: t.readConcern})
	}
	return d, nil
}

// leave takes back that a shard became a participant by a command that it has
// refused.
func (t *txn) leave(shard string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.participants = slices.DeleteFunc(t.participants, func(s string) bool { return s == shard })
}

// has reports whether a shard is a participant.
func (t *txn) has(shard string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.participants, shard)
}

// wrote notes that a participant has written.
func (t *txn) wrote(shard string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.writers, shard) {
		t.writers = append(t.writers, shard)
	}
}

// recoveryToken tells any router which shard knows the outcome: the one that
// coordinates the commit.
func (t *txn) recoveryToken() bson.D {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, from := range [][]string{t.writers, t.participants} {
		if len(from) > 0 {
			return bson.D{{"recoveryShardId", from[0]}}
		}
	}
	return bson.D{}
}

func (t *txn) get() (txnState, []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, slices.Clone(t.participants)
}

func (t *txn) end(s txnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = s
}

// A sessionTable holds the newest transaction of each session.
type sessionTable struct {
	mu   sync.Mutex
	txns map[string]*txn
}

func newSessionTable() *sessionTable { return &sessionTable{txns: map[string]*txn{}} }

// sessionID is the part of lsid that identifies a session.
func sessionID(lsid bson.Raw) string {
	id, _ := value.Get(lsid, "id")
	return string(id.Value)
}

// supersede returns the open transaction of the session that a command with a
// higher transaction number ends, nil if there is none.
func (s *sessionTable) supersede(body bson.Raw) *txn {
	v, _ := value.Get(body, "txnNumber")
	number, ok := v.AsInt64OK()
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.txns[sessionID(getDoc(body, "lsid"))]
	if t == nil || number <= t.number.AsInt64() {
		return nil
	}
	if state, _ := t.get(); state != txnOpen {
		return nil
	}
	return t
}

// enter returns the transaction that a command with autocommit: false is part
// of, nil if the command is in none.
func (s *sessionTable) enter(body bson.Raw, name string) (*txn, error) {
	if !has(body, "autocommit") {
		return nil, nil //nolint:nilnil // no transaction is an answer here, not a failure
	}
	lsid, _ := value.Get(body, "lsid")
	number, _ := value.Get(body, "txnNumber")
	want, ok := number.AsInt64OK()
	if lsid.Type != bson.TypeEmbeddedDocument || !ok {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "Transaction number and session are needed with autocommit")
	}
	if getBool(body, "autocommit", true) {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "autocommit may only be false")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sessionID(lsid.Document())
	t := s.txns[key]
	have := int64(-1)
	if t != nil {
		have = t.number.AsInt64()
	}
	switch {
	case have > want:
		return nil, mongoerr.New(mongoerr.TransactionTooOld, "txnNumber %d is less than last txnNumber %d seen in session", want, have)
	case getBool(body, "startTransaction", false):
		if have == want {
			return nil, mongoerr.New(mongoerr.ConflictingOperationInProgress, "txnNumber %d for session already started", want)
		}
		rc, _ := value.Get(body, "readConcern")
		t = &txn{lsid: lsid, number: number, readConcern: rc, began: time.Now()}
		s.txns[key] = t
		return t, nil
	case have == want:
		return t, nil
	case name == "commitTransaction" || name == "abortTransaction":
		return &txn{lsid: lsid, number: number}, nil // begun through another router: decided by the recovery token
	default:
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "cannot continue txnId %d for session with txnId %d", want, have).
			WithLabel("TransientTransactionError")
	}
}

// forget drops the sessions of these ids and returns their open transactions.
func (s *sessionTable) forget(ids []string) []*txn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*txn
	for _, id := range ids {
		if t := s.txns[id]; t != nil {
			if st, _ := t.get(); st == txnOpen {
				open = append(open, t)
			}
			delete(s.txns, id)
		}
	}
	return open
}

// expire drops the transactions that began too long ago and returns those that
// are open. The shards end their part by the same limit.
func (s *sessionTable) expire(now time.Time) []*txn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*txn
	for id, t := range s.txns {
		state, _ := t.get()
		switch age := now.Sub(t.began); {
		case state == txnOpen && age >= txnLifetime:
			open = append(open, t)
		case age >= sessionIdle:
			delete(s.txns, id)
		}
	}
	return open
}

// all returns the ids of every session known.
func (s *sessionTable) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.txns {
		ids = append(ids, id)
	}
	return ids
}
