package mongod

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// How much one look into the storage may take: the lock is held meanwhile.
const (
	lookDocs     = 256
	lookExamined = 4096
	lookBytes    = 4 << 20
)

// A viewer runs fn on the data a cursor reads: see operation.view.
type viewer func(fn func(*storage.Tx) error) error

// scanSource yields the matching documents of one collection along a plan. It
// holds no snapshot: between batches it keeps a position and seeks it again,
// so later documents may or may not be seen, as on the server.
type scanSource struct {
	view      viewer
	uuid      value.UUID
	ns        string
	plan      plan
	matcher   *query.Matcher
	owned     func(bson.Raw) bool
	late      bool // matcher runs scripts, which must not hold the lock: it is asked as documents are handed out
	undecided preparedReads

	pos    position // of the last document handed out
	ahead  []found  // read but not handed out
	next   position // where to read on after ahead
	ended  bool     // nothing after ahead
	seen   map[int64]struct{}
	lastID int64 // record id of the last document handed out

	examined int64 // records looked at
}

// preparedReads says what a read does where a prepared transaction has changed
// something: see operation.preparedReads.
type preparedReads int

const (
	passPrepared   preparedReads = iota // it sees what is committed
	awaitPrepared                       // it waits for the decision
	failAtPrepared                      // it fails with a PrepareConflictError: the data are locked, and who has locked them waits
)

// position is a place in a plan: a range and a key in it.
type position struct {
	rng int
	key storage.Key
}

type found struct {
	at  position
	rec storage.Rec
}

func newScanSource(view viewer, c *storage.Collection, p plan, m *query.Matcher, owned func(bson.Raw) bool) *scanSource {
	if p.index != "" {
		c.Index(p.index).Uses().Note()
	}
	s := &scanSource{view: view, uuid: c.UUID, ns: c.NS, plan: p, matcher: m, owned: owned}
	if p.dedup {
		s.seen = map[int64]struct{}{}
	}
	return s
}

// Next implements aggregate.Source.
func (s *scanSource) Next(ctx context.Context) (bson.Raw, error) {
	for {
		if err := s.fetch(ctx); err != nil || len(s.ahead) == 0 {
			return nil, err
		}
		f := s.ahead[0]
		s.ahead = s.ahead[1:]
		s.pos = f.at
		if s.late {
			if ok, err := s.matcher.Match(f.rec.Doc); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		s.lastID = f.rec.ID
		if s.seen != nil {
			s.seen[f.rec.ID] = struct{}{}
		}
		return f.rec.Doc, nil
	}
}

// fetch reads ahead if there is nothing ahead. There is still nothing at the
// end.
func (s *scanSource) fetch(ctx context.Context) error {
	for len(s.ahead) == 0 && !s.ended {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.view(s.look)
		var met *storage.PrepareConflictError
		if !errors.As(err, &met) || s.undecided == failAtPrepared {
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-met.Decided:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// rest forgets what was read ahead, at the end of a batch: the next batch reads
// the data as it is then.
func (s *scanSource) rest() {
	if len(s.ahead) > 0 {
		s.ahead, s.ended, s.next = nil, false, s.pos
	}
}

// look reads ahead.
func (s *scanSource) look(tx *storage.Tx) error {
	c, err := s.collection(tx)
	if err != nil {
		return err
	}
	examined, bytes := 0, 0
	for s.next.rng < len(s.plan.ranges) {
		spec := s.plan.ranges[s.next.rng]
		spec.Resume = s.next.key
		var limit storage.Key // before which nothing is undecided
		var met *storage.PrepareConflictError
		if s.undecided != passPrepared {
			limit, met = tx.Undecided(c, spec)
		}
		for key, rec := range tx.Scan(c, spec) {
			if met != nil && !spec.Before(key, limit) {
				break
			}
			s.next.key = key
			examined++
			s.examined++
			ok, err := s.wants(rec)
			if err != nil {
				return err
			}
			if ok {
				s.ahead = append(s.ahead, found{at: s.next, rec: rec})
				bytes += len(rec.Doc)
			}
			if len(s.ahead) >= lookDocs || examined >= lookExamined || bytes >= lookBytes {
				return nil
			}
		}
		if met != nil && len(s.ahead) > 0 {
			return nil // these come first
		}
		if met != nil {
			return met
		}
		s.next = position{rng: s.next.rng + 1}
	}
	s.ended = true
	return nil
}

func (s *scanSource) wants(rec storage.Rec) (bool, error) {
	if s.seen != nil {
		if _, dup := s.seen[rec.ID]; dup {
			return false, nil
		}
		for _, f := range s.ahead {
			if f.rec.ID == rec.ID {
				return false, nil
			}
		}
	}
	if s.owned != nil && !s.owned(rec.Doc) {
		return false, nil
	}
	if s.matcher == nil || s.late {
		return true, nil
	}
	return s.matcher.Match(rec.Doc)
}

// collection finds the scanned collection again. A cursor does not survive its
// drop or rename, or the drop of its index.
func (s *scanSource) collection(tx *storage.Tx) (*storage.Collection, error) {
	c := tx.CollectionByUUID(s.uuid)
	switch {
	case c == nil:
		return nil, mongoerr.New(mongoerr.QueryPlanKilled, "collection dropped. UUID %s", s.uuid)
	case c.NS != s.ns:
		return nil, mongoerr.New(mongoerr.QueryPlanKilled, "collection renamed from '%s' to '%s'. UUID %s", s.ns, c.NS, s.uuid)
	case s.plan.index != "" && c.Index(s.plan.index) == nil:
		return nil, mongoerr.New(mongoerr.QueryPlanKilled, "index '%s' dropped", s.plan.index)
	}
	return c, nil
}

// sliceSource yields documents that are in memory.
type sliceSource struct{ docs []bson.Raw }

// Next implements aggregate.Source.
func (s *sliceSource) Next(context.Context) (bson.Raw, error) {
	if len(s.docs) == 0 {
		return nil, nil
	}
	d := s.docs[0]
	s.docs = s.docs[1:]
	return d, nil
}

// funcSource makes its documents when the first is asked for.
type funcSource struct {
	make func(ctx context.Context) ([]bson.Raw, error)
	docs *sliceSource
}

// Next implements aggregate.Source.
func (s *funcSource) Next(ctx context.Context) (bson.Raw, error) {
	if s.docs == nil {
		docs, err := s.make(ctx)
		if err != nil {
			return nil, err
		}
		s.docs = &sliceSource{docs: docs}
	}
	return s.docs.Next(ctx)
}
