package mongod

import (
	"context"
	"errors"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// virtualSource returns the matching documents of a collection that is not
// stored but shows the server's own state.
func (op *operation) virtualSource(tx *storage.Tx, ns string, w wanted) (aggregate.Source, bool, error) {
	if records, ok := op.node.records.profiler.of(op.req.DB); ok && ns == op.req.DB+"."+profileColl {
		return &filterSource{matcher: w.matcher, src: &sliceSource{docs: records}}, true, nil
	}
	switch ns {
	case oplogNS:
		src, err := op.oplogSource(w)
		return src, true, err
	case "local.system.replset":
		return &filterSource{matcher: w.matcher, src: &sliceSource{docs: []bson.Raw{op.node.replConfig()}}}, true, nil
	case sessionRecordsNS:
		return &filterSource{matcher: w.matcher, src: &sliceSource{docs: op.sessionRecords()}}, true, nil
	case "admin.system.version":
		if tx.Collection(ns) != nil {
			return nil, false, nil
		}
		fcv := op.node.params.get(paramFCV)
		docs := []bson.Raw{
			value.D("_id", paramFCV, "version", fcv.Document().Lookup("version")),
			value.D("_id", "authSchema", "currentVersion", 5),
		}
		if id := op.node.set.shard.Load().document(); id != nil {
			docs = append(docs, id)
		}
		return &filterSource{matcher: w.matcher, src: &sliceSource{docs: docs}}, true, nil
	default:
		return nil, false, nil
	}
}

// filterSource drops what does not match.
type filterSource struct {
	src     aggregate.Source
	matcher *query.Matcher // nil: everything matches
}

// Next implements aggregate.Source.
func (s *filterSource) Next(ctx context.Context) (bson.Raw, error) {
	for {
		d, err := s.src.Next(ctx)
		if err != nil || d == nil || s.matcher == nil {
			return d, err
		}
		if ok, err := s.matcher.Match(d); err != nil || ok {
			return d, err
		}
	}
}

// oplogSource reads local.oplog.rs forwards or backwards. A lower bound on ts
// is where it starts.
func (op *operation) oplogSource(w wanted) (aggregate.Source, error) {
	direction := naturalSort(w.sort)
	if d, ok, err := naturalHint(w.hint); err != nil {
		return nil, err
	} else if ok && direction == 0 {
		direction = d
	}
	if direction < 0 {
		return &filterSource{src: &backwardSource{log: nodeLog{op.node}}, matcher: w.matcher}, nil
	}
	src := &oplogSource{log: nodeLog{op.node}, from: op.line.log.First(), inclusive: true}
	if w.matcher != nil {
		if b, ok := w.matcher.Bounds("ts"); ok {
			src.startAt(b)
		}
	}
	return &filterSource{src: src, matcher: w.matcher}, nil
}

// oplogSource yields the entries of the oplog in order. At the end it yields
// nil, and goes on from there when it is asked again.
type oplogSource struct {
	log       nodeLog
	from      bson.Timestamp
	inclusive bool
	ahead     []*oplog.Entry
}

// startAt skips what lies before the bounds on ts.
func (s *oplogSource) startAt(b query.Bounds) {
	least := b.Min
	if len(b.Eq) > 0 {
		smallest := slices.MinFunc(b.Eq, value.Compare)
		least = &smallest
	}
	if least == nil {
		return
	}
	if t, i, ok := least.TimestampOK(); ok {
		if ts := (bson.Timestamp{T: t, I: i}); ts.After(s.from) {
			s.from = ts
		}
	}
}

// Next implements aggregate.Source.
func (s *oplogSource) Next(context.Context) (bson.Raw, error) {
	if len(s.ahead) == 0 {
		var err error
		s.ahead, err = s.log.Read(s.from, s.inclusive, lookDocs)
		if errors.Is(err, oplog.ErrTruncated) {
			return nil, cappedPositionLost()
		}
		if err != nil || len(s.ahead) == 0 {
			return nil, err
		}
	}
	e := s.ahead[0]
	s.ahead = s.ahead[1:]
	s.from, s.inclusive = e.TS, false
	return e.BSON(), nil
}

// backwardSource yields the entries of the oplog from the last to the first.
type backwardSource struct {
	log     nodeLog
	started bool
	entries []*oplog.Entry
}

// Next implements aggregate.Source.
func (s *backwardSource) Next(context.Context) (bson.Raw, error) {
	if !s.started {
		s.started = true
		var err error
		if s.entries, err = s.log.Read(s.log.First(), true, math.MaxInt); err != nil {
			return nil, cappedPositionLost()
		}
	}
	n := len(s.entries)
	if n == 0 {
		return nil, nil
	}
	e := s.entries[n-1]
	s.entries = s.entries[:n-1]
	return e.BSON(), nil
}
