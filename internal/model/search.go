package model

// A search visits states of a model, each once.
type search[S comparable] struct {
	seen map[S]struct{}
	todo []S
	// steps are the visits, also to states that were seen before: if none was made
	// from a state, nothing more can happen in it.
	steps int
}

// visit notes a state that can be reached.
func (x *search[S]) visit(s S) {
	x.steps++
	if _, ok := x.seen[s]; ok {
		return
	}
	if x.seen == nil {
		x.seen = map[S]struct{}{}
	}
	x.seen[s] = struct{}{}
	x.todo = append(x.todo, s)
}

// next returns a state from which the search has not gone on yet.
func (x *search[S]) next() (s S, ok bool) {
	if len(x.todo) == 0 {
		return s, false
	}
	s = x.todo[len(x.todo)-1]
	x.todo = x.todo[:len(x.todo)-1]
	return s, true
}
