package oplog

// segmentSize is the number of entries in a segment. Growing by segments never
// moves entries, and a rolled over segment is freed as a whole.
const segmentSize = 4096

// queue is a queue of entries, or of where they are. Its owner locks it.
type queue[T any] struct {
	list [][]T // all full but the last
	head int   // entries of list[0] that are gone
	n    int   // entries in the queue
}

func (s *queue[T]) len() int { return s.n }

func (s *queue[T]) push(e T) {
	k := len(s.list) - 1
	if k < 0 || len(s.list[k]) == segmentSize {
		s.list = append(s.list, make([]T, 0, segmentSize))
		k++
	}
	s.list[k] = append(s.list[k], e)
	s.n++
}

func (s *queue[T]) pop() T {
	e := s.list[0][s.head]
	clear(s.list[0][s.head : s.head+1])
	s.head++
	s.n--
	if s.head == segmentSize {
		s.list[0] = nil
		s.list = s.list[1:]
		s.head = 0
	}
	return e
}

// unpush takes the newest entry away again.
func (s *queue[T]) unpush() T {
	k := len(s.list) - 1
	seg := s.list[k]
	e := seg[len(seg)-1]
	clear(seg[len(seg)-1:])
	s.list[k] = seg[:len(seg)-1]
	s.n--
	if len(s.list[k]) == 0 {
		s.list = s.list[:k]
	}
	if len(s.list) == 0 {
		s.head = 0
	}
	return e
}

func (s *queue[T]) at(i int) T {
	i += s.head
	return s.list[i/segmentSize][i%segmentSize]
}
