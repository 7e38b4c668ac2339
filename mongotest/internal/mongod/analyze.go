package mongod

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/shardkey"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runAnalyzeShardKey tells what would become of a collection with another shard
// key. A router asks for the uniqueness and the monotonicity alone, which one
// shard knows by its index; the documents of all shards it counts itself.
func runAnalyzeShardKey(_ context.Context, op *operation) (bson.Raw, error) {
	r, err := shardkey.ParseRequest(op.req.Body)
	if err != nil {
		return nil, err
	}
	var reply bson.Raw
	err = op.view(func(tx *storage.Tx) error {
		c := tx.Collection(r.NS)
		if err := checkAnalyzable(c); err != nil {
			return err
		}
		a := &keyAnalysis{Request: r, tx: tx, coll: c}
		if op.req.Routed != nil {
			reply, err = a.part()
		} else {
			reply, err = a.whole()
		}
		return err
	})
	return reply, err
}

func checkAnalyzable(c *storage.Collection) error {
	switch {
	case c == nil:
		return shardkey.CheckKind("", nil)
	case c.IsTimeseries():
		return shardkey.CheckKind("timeseries", c.Options)
	case c.IsView():
		return shardkey.CheckKind("view", c.Options)
	default:
		return shardkey.CheckKind("collection", c.Options)
	}
}

// A keyAnalysis is one analyzeShardKey on one collection.
type keyAnalysis struct {
	shardkey.Request
	tx   *storage.Tx
	coll *storage.Collection
}

// whole answers from the documents that are here.
func (a *keyAnalysis) whole() (bson.Raw, error) {
	ix, err := a.support()
	if err != nil {
		return nil, err
	}
	census := a.NewCensus(a.coll.Count(), a.unique(ix))
	for _, rec := range a.tx.Scan(a.coll, storage.ScanSpec{}) {
		census.Add(rec.Doc)
	}
	var pairs []any
	if ix != nil {
		m, err := a.monotonicity()
		if err != nil {
			return nil, err
		}
		found, err := census.Characteristics(-1, m)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, "keyCharacteristics", found)
	}
	if a.Distribution {
		if err := census.CheckRanges(); err != nil {
			return nil, err
		}
		reads, writes := shardkey.NoQueries()
		pairs = append(pairs, "readDistribution", reads, "writeDistribution", writes)
	}
	return value.D(pairs...), nil
}

// part answers a router: nothing where no index supports the key, and that it is
// empty where there are no documents to look at.
func (a *keyAnalysis) part() (bson.Raw, error) {
	if a.coll.Count() == 0 && a.Characteristics {
		return value.D("empty", true), nil
	}
	ix, err := a.support()
	if err != nil || ix == nil {
		return value.D(), err
	}
	m, err := a.monotonicity()
	return value.D("isUnique", a.unique(ix), "monotonicity", m), err
}

// support returns the index by which the values are counted; nil if they are not
// asked for, or if there is none and nothing else is missed by that.
func (a *keyAnalysis) support() (*storage.Index, error) {
	if !a.Characteristics {
		return nil, nil //nolint:nilnil // no index is needed
	}
	if a.coll.Count() == 0 {
		return nil, shardkey.Empty()
	}
	for _, rec := range a.tx.Scan(a.coll, storage.ScanSpec{}) {
		if err := a.Key.CheckScalar(rec.Doc); err != nil {
			return nil, err
		}
		break
	}
	var best *storage.Index
	for _, ix := range a.coll.Indexes() {
		better := best == nil || fieldCount(ix.Key) < fieldCount(best.Key) || !best.Unique && ix.Unique
		if better && isOrdinary(ix) && a.coll.HoldsAll(ix) && a.Key.Names(ix.Key) {
			best = ix
		}
	}
	if best == nil && !a.Distribution {
		return nil, shardkey.NoIndex()
	}
	return best, nil
}

// isOrdinary reports whether an index keeps values or their hashes.
func isOrdinary(ix *storage.Index) bool {
	for _, v := range value.Elements(ix.Key) {
		if kind, ok := v.StringValueOK(); ok && kind != "hashed" {
			return false
		}
	}
	return true
}

// unique reports whether an index makes every value of the key a single one.
func (a *keyAnalysis) unique(ix *storage.Index) bool {
	return ix != nil && fieldCount(ix.Key) == len(a.Key) && ix.Unique
}

// monotonicity needs an index in the order of the key.
func (a *keyAnalysis) monotonicity() (bson.Raw, error) {
	switch {
	case a.coll.Clustered():
		return shardkey.Unknown(), nil
	case a.Key[0].Hashed:
		return shardkey.Constant(), nil
	}
	raw := a.Key.Raw()
	for _, ix := range a.coll.Indexes() {
		if a.coll.Supports(raw, ix) {
			return a.Monotonicity(a.inOrder(ix), a.coll.Count())
		}
	}
	return shardkey.Unknown(), nil
}

// inOrder yields the documents in the order of an index, with their record ids.
func (a *keyAnalysis) inOrder(ix *storage.Index) iter.Seq2[int64, bson.Raw] {
	return func(yield func(int64, bson.Raw) bool) {
		for _, rec := range a.tx.Scan(a.coll, storage.ScanSpec{Index: ix.Name}) {
			if !yield(rec.ID, rec.Doc) {
				return
			}
		}
	}
}

// runConfigureQueryAnalyzer keeps in config.queryAnalyzers how the queries on a
// collection are to be sampled.
func runConfigureQueryAnalyzer(ctx context.Context, op *operation) (bson.Raw, error) {
	if op.node.shard() != nil {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Cannot run configureQueryAnalyzer command directly against a shardsvr mongod")
	}
	s, err := shardkey.ParseSampling(op.req.Body)
	if err != nil {
		return nil, err
	}
	var uuid value.UUID
	err = op.view(func(tx *storage.Tx) error {
		c := tx.Collection(s.NS)
		if err := checkAnalyzable(c); err != nil {
			return err
		}
		uuid = c.UUID
		return nil
	})
	if err != nil {
		return nil, err
	}
	inner := *op
	inner.req = &command.Request{Name: "findAndModify", DB: "config", Client: op.req.Client, Body: s.Command(uuid, op.node.now())}
	written, err := runFindAndModify(ctx, &inner)
	if err != nil {
		return nil, err
	}
	return s.Reply(written, uuid), nil
}
