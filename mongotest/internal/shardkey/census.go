package shardkey

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Census counts the documents of a collection by the values of a shard key,
// those of all shards. Add it every document, then ask.
type Census struct {
	request Request
	unique  bool
	total   int64
	seen    int64
	bytes   int64
	sampled int64
	firsts  []bson.Raw // the keys of the first documents
	byValue map[string]*tally
}

type tally struct {
	place        string // in the order of the key
	value        bson.Raw
	all, sampled int64
}

// NewCensus begins a census of about total documents. With unique no two of them
// have the same value.
func (r Request) NewCensus(total int64, unique bool) *Census {
	return &Census{request: r, unique: unique, total: total, byValue: map[string]*tally{}}
}

// Add counts a document.
func (c *Census) Add(doc bson.Raw) {
	if len(c.firsts) < mostCommon {
		c.firsts = append(c.firsts, c.request.Key.Of(doc, false))
	}
	key := c.request.Key.Of(doc, true)
	place := c.request.Key.place(key)
	t := c.byValue[place]
	if t == nil {
		t = &tally{place: place, value: key}
		c.byValue[place] = t
	}
	t.all++
	if c.request.chosen(c.seen, c.total) {
		t.sampled++
		c.sampled++
	}
	c.seen++
	c.bytes += int64(len(doc))
}

// place is where a key stands among the others: by its values, by the hash of a
// hashed one.
func (p Pattern) place(key bson.Raw) string {
	var b []byte
	for i, v := range p.values(key) {
		if p[i].Hashed {
			v = value.Int64(hashkey.Hash(v))
		}
		b = keystring.Append(b, v, false)
	}
	return string(b)
}

func (p Pattern) values(key bson.Raw) []bson.RawValue {
	vals := make([]bson.RawValue, 0, len(p))
	for _, v := range value.Elements(key) {
		vals = append(vals, v)
	}
	return vals
}

// Characteristics is the keyCharacteristics of the reply. Orphans are those of a
// sharded collection, which are counted too; -1 stands for one that is not sharded.
func (c *Census) Characteristics(orphans int64, monotonicity bson.Raw) (bson.Raw, error) {
	size, total := c.request.size, max(c.total, c.sampled)
	switch {
	case c.seen == 0:
		return nil, Empty()
	case size > 0 && size < mostCommon:
		return nil, mongoerr.New(mongoerr.InvalidOptions, "The requested number of most common values is %d but the requested number of documents according to 'sampleSize' is %d", mostCommon, size)
	case c.sampled == 0:
		return nil, mongoerr.New(7826507, "Cannot analyze the cardinality and frequency of a shard key because the number of sampled documents is zero")
	}
	distinct, common := c.frequencies()
	pairs := []any{"numDocsTotal", total}
	if orphans >= 0 {
		pairs = append(pairs, "numOrphanDocs", orphans)
	}
	pairs = append(pairs, "avgDocSizeBytes", c.bytes/c.seen, "numDocsSampled", c.sampled, "isUnique", c.unique,
		"numDistinctValues", distinct, "mostCommonValues", common, "monotonicity", monotonicity)
	if orphans >= 0 {
		pairs = append(pairs, "note", orphanNote)
	}
	return value.D(pairs...), nil
}

const orphanNote = "Orphan documents are counted, too. If \"numOrphanDocs\" is large beside \"numDocsTotal\", " +
	"\"numDistinctValues\" and \"mostCommonValues\" are more accurate when the command is run again later."

// frequencies returns the number of values and the most frequent ones.
func (c *Census) frequencies() (distinct int64, common []bson.Raw) {
	if c.unique {
		for _, v := range c.firsts[:min(int64(len(c.firsts)), c.sampled)] {
			common = append(common, value.D("value", v, "frequency", int64(1)))
		}
		return c.sampled, common
	}
	tallies := c.tallies(func(a, b *tally) int { return cmp.Or(cmp.Compare(b.sampled, a.sampled), cmp.Compare(a.place, b.place)) })
	for _, t := range tallies {
		if t.sampled == 0 {
			break
		}
		if distinct < mostCommon {
			common = append(common, value.D("value", t.value, "frequency", t.sampled))
		}
		distinct++
	}
	return distinct, common
}

func (c *Census) tallies(order func(a, b *tally) int) []*tally {
	out := make([]*tally, 0, len(c.byValue))
	for _, t := range c.byValue {
		out = append(out, t)
	}
	slices.SortFunc(out, order)
	return out
}

// CheckRanges makes sure that the documents can be split into as many ranges as
// the server does before it looks at the sampled queries, in the way in which it
// finds their bounds: it takes every tenth of a thousand samples
// (SamplingBasedSplitPolicy).
func (c *Census) CheckRanges() error {
	tallies := c.tallies(func(a, b *tally) int { return cmp.Compare(a.place, b.place) })
	samples := min(c.seen, ranges*samplesPerRange)
	bounds, last, passed, at := 0, -1, int64(0), 0
	for i := int64(samplesPerRange) - 1; i < samples && bounds < ranges-1; i += samplesPerRange {
		for wanted := i * c.seen / samples; passed+tallies[at].all <= wanted; at++ {
			passed += tallies[at].all
		}
		if at == last {
			continue
		}
		if err := noArrays(tallies[at].value); err != nil {
			return err
		}
		last = at
		bounds++
	}
	if bounds < ranges-1 {
		return mongoerr.New(4952606, "Failed to find split points that partition the data into %d chunks with roughly equal number of documents using the shard key being analyzed :: caused by :: "+
			"The shard key provided does not have enough cardinality to make the required number of chunks of %d, it can only make %d chunks", ranges, ranges, bounds+1)
	}
	return nil
}

// NoQueries are the readDistribution and the writeDistribution of the reply where
// no query has been sampled.
func NoQueries() (reads, writes bson.Raw) {
	zero := int64(0)
	reads = value.D("sampleSize", value.D("total", zero, "find", zero, "aggregate", zero, "count", zero, "distinct", zero))
	writes = value.D("sampleSize", value.D("total", zero, "update", zero, "delete", zero, "findAndModify", zero))
	return reads, writes
}
