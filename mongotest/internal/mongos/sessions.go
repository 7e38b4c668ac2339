package mongos

import (
	"context"
	"errors"
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

// recoveryToken tells any router which shard knows the outcome.
func (t *txn) recoveryToken() bson.D {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.participants) == 0 {
		return bson.D{}
	}
	return bson.D{{"recoveryShardId", t.participants[0]}}
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

// commit ends the client's transaction on every participant, one after the
// other; each logs it at its own time. Several are prepared before the first one
// commits, and then nothing can keep the others from it.
func (o *op) commit(ctx context.Context) (bson.Raw, error) {
	state, shards := o.txn.get()
	if state == txnAborted {
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "Transaction %s has been aborted", o.txn.number).
			WithLabel("TransientTransactionError")
	}
	if id := o.recoveryShard(); id != "" && len(shards) == 0 {
		return o.recover(ctx, id)
	}
	if err := o.prepare(ctx, shards); err != nil {
		return nil, err
	}
	o.txn.end(txnCommitted)
	reply := bson.D{{"recoveryToken", o.txn.recoveryToken()}}
	var left []string // whose part an election may still undo
	for i, s := range shards {
		resp, err := o.send(ctx, s, o.ending("commitTransaction"))
		if err != nil && len(shards) == 1 {
			o.txn.unlock()
			return nil, err // the client may ask again
		}
		if err != nil {
			o.r.commits.add(o.txn, append(left, shards[i:]...))
			if i == 0 {
				return nil, err
			}
			return rawDoc(reply), nil
		}
		if v, ok := value.Get(resp.Body, "writeConcernError"); ok {
			left = append(left, s)
			if len(reply) == 1 {
				reply = append(reply, bson.E{Key: "writeConcernError", Value: v})
			}
		}
	}
	if len(left) > 0 && len(shards) > 1 {
		o.r.commits.add(o.txn, left)
		return rawDoc(reply), nil
	}
	o.txn.unlock()
	return rawDoc(reply), nil
}

// recoveryShard is the shard that the client's recovery token names, "" if it
// brings none.
func (o *op) recoveryShard() string {
	return getString(getDoc(o.req.Body, "recoveryToken"), "recoveryShardId")
}

// recover finds out what has become of a transaction that another router has
// run: the shard of the recovery token knows. If nobody has decided to commit
// it yet, it is aborted there, and so everywhere.
func (o *op) recover(ctx context.Context, shard string) (bson.Raw, error) {
	_, err := o.send(ctx, shard, o.ending("abortTransaction"))
	switch {
	case mongoerr.Is(err, mongoerr.TransactionCommitted):
		return rawDoc(bson.D{{"recoveryToken", bson.D{{"recoveryShardId", shard}}}}), nil
	case err == nil || mongoerr.Is(err, mongoerr.NoSuchTransaction):
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "Transaction %s has been aborted", o.txn.number)
	default:
		return nil, err
	}
}

// prepare makes sure that every participant of a transaction on several shards
// can commit, before the first one does. If one cannot, all abort.
func (o *op) prepare(ctx context.Context, shards []string) error {
	if len(shards) < 2 {
		return nil
	}
	for _, s := range shards {
		if err := o.promise(ctx, s); err != nil {
			if mongoerr.Is(err, mongoerr.NoSuchTransaction) || mongoerr.Is(err, mongoerr.UserWritesBlocked) {
				return errors.Join(err, o.abort(ctx))
			}
			return err // the client may ask again
		}
	}
	return nil
}

// promise prepares one participant. It is asked again when it could not tell
// that a majority of its members has the promise.
func (o *op) promise(ctx context.Context, shard string) error {
	for {
		resp, err := o.send(ctx, shard, o.ending("prepareTransaction"))
		if err != nil || !has(resp.Body, "writeConcernError") {
			return err
		}
		if ctx.Err() != nil {
			return interrupted(ctx, ctx.Err())
		}
	}
}

// abort ends the client's transaction everywhere. A shard that does not know
// it any more has aborted it.
func (o *op) abort(ctx context.Context) error {
	state, shards := o.txn.get()
	if state == txnCommitted {
		return mongoerr.New(mongoerr.TransactionCommitted, "Transaction %s has been committed", o.txn.number)
	}
	o.txn.end(txnAborted)
	defer o.txn.unlock()
	if id := o.recoveryShard(); id != "" && len(shards) == 0 {
		shards = []string{id} // begun through another router
	}
	for _, s := range shards {
		_, err := o.send(ctx, s, o.ending("abortTransaction"))
		if err != nil && !mongoerr.Is(err, mongoerr.NoSuchTransaction) {
			return err
		}
	}
	return nil
}

func (o *op) ending(name string) call {
	body := bson.D{{name, int32(1)}}
	if wc, ok := value.Get(o.req.Body, "writeConcern"); ok && name == o.req.Name {
		body = append(body, bson.E{Key: "writeConcern", Value: wc})
	}
	return call{name: name, db: "admin", body: rawDoc(body)}
}
