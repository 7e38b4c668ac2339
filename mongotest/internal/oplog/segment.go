package oplog

import (
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// segmentSize is the number of entries in a segment. Growing by segments never
// moves entries, and a rolled over segment is freed as a whole.
const segmentSize = 4096

// segments is a queue of entries in ascending order of TS. Its owner locks it.
type segments struct {
	list [][]*Entry // all full but the last
	head int        // entries of list[0] that are gone
	n    int        // entries in the queue
}

func (s *segments) len() int { return s.n }

func (s *segments) push(e *Entry) {
	k := len(s.list) - 1
	if k < 0 || len(s.list[k]) == segmentSize {
		s.list = append(s.list, make([]*Entry, 0, segmentSize))
		k++
	}
	s.list[k] = append(s.list[k], e)
	s.n++
}

func (s *segments) pop() *Entry {
	e := s.list[0][s.head]
	s.list[0][s.head] = nil
	s.head++
	s.n--
	if s.head == segmentSize {
		s.list[0] = nil
		s.list = s.list[1:]
		s.head = 0
	}
	return e
}

func (s *segments) at(i int) *Entry {
	i += s.head
	return s.list[i/segmentSize][i%segmentSize]
}

// search returns the index of the first entry later than ts, or at it if
// inclusive; len() if there is none.
func (s *segments) search(ts bson.Timestamp, inclusive bool) int {
	return sort.Search(s.n, func(i int) bool {
		c := s.at(i).TS.Compare(ts)
		return c > 0 || inclusive && c == 0
	})
}

// slice returns a copy of up to limit entries from index from.
func (s *segments) slice(from, limit int) []*Entry {
	n := min(s.n-from, limit)
	if n <= 0 {
		return nil
	}
	out := make([]*Entry, n)
	for i := range out {
		out[i] = s.at(from + i)
	}
	return out
}
