package chaos

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry"
)

func TestTheLedgerTellsLossFromDoubt(t *testing.T) {
	at := func(i uint32) shardferry.ClusterTime { return shardferry.ClusterTime{T: 1, I: i} }
	put := func(v int64) attempt { return attempt{version: v} }
	acked := func(a attempt, side Side, i uint32) attempt {
		a.acked, a.side, a.at = true, side, at(i)
		return a
	}
	gone := func(v int64) attempt { return attempt{version: v, deleted: true} }
	upTo := func(i uint32) reading { return reading{partial: true, from: Source, upTo: at(i)} }
	whole := reading{}
	moved := put(2)
	moved.moved = true

	for name, c := range map[string]struct {
		list  []attempt
		found []int64
		r     reading
		wrong bool
	}{
		"the last version":                     {[]attempt{acked(put(1), Source, 1), acked(put(2), Source, 2)}, []int64{2}, whole, false},
		"an older version":                     {[]attempt{acked(put(1), Source, 1), acked(put(2), Source, 2)}, []int64{1}, whole, true},
		"missing":                              {[]attempt{acked(put(1), Source, 1)}, nil, whole, true},
		"there twice":                          {[]attempt{acked(put(1), Source, 1)}, []int64{1, 1}, whole, true},
		"a deletion that came back":            {[]attempt{acked(put(1), Source, 1), acked(gone(2), Source, 2)}, []int64{1}, whole, true},
		"deleted":                              {[]attempt{acked(put(1), Source, 1), acked(gone(2), Source, 2)}, nil, whole, false},
		"in doubt, with effect":                {[]attempt{acked(put(1), Source, 1), put(2)}, []int64{2}, whole, false},
		"in doubt, without effect":             {[]attempt{acked(put(1), Source, 1), put(2)}, []int64{1}, whole, false},
		"a deletion in doubt":                  {[]attempt{acked(put(1), Source, 1), gone(2)}, nil, whole, false},
		"an insert in doubt":                   {[]attempt{put(1)}, nil, whole, false},
		"a version nobody wrote":               {[]attempt{put(1)}, []int64{9}, whole, true},
		"later than the resume point":          {[]attempt{acked(put(1), Source, 1), acked(put(2), Source, 5)}, []int64{1}, upTo(4), false},
		"already there":                        {[]attempt{acked(put(1), Source, 1), acked(put(2), Source, 5)}, []int64{2}, upTo(4), false},
		"at the resume point":                  {[]attempt{acked(put(1), Source, 1), acked(put(2), Source, 5)}, []int64{1}, upTo(5), true},
		"acknowledged by the other side":       {[]attempt{acked(put(1), Source, 1), acked(put(2), Destination, 9)}, []int64{1}, upTo(5), true},
		"on its way to another shard":          {[]attempt{acked(put(1), Source, 1), acked(moved, Source, 7)}, nil, upTo(5), false},
		"on both shards":                       {[]attempt{acked(put(1), Source, 1), acked(moved, Source, 7)}, []int64{1, 2}, upTo(5), false},
		"lost on the way to another shard":     {[]attempt{acked(put(1), Source, 1), acked(moved, Source, 7)}, nil, whole, true},
		"nothing before the first resume time": {[]attempt{acked(put(1), Source, 3)}, nil, upTo(2), false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			k := key{"c", 1}
			for _, a := range c.list {
				l.try(k, a)
			}
			docs := found{}
			if c.found != nil {
				docs[k] = c.found
			}
			assert.Equal(t, c.wrong, len(l.check(docs, c.r)) > 0)
		})
	}

	l := newLedger()
	assert.Len(t, l.check(found{key{"c", 2}: {1}}, whole), 1, "a document that nobody wrote")
}
