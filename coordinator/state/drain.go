package state

import "slices"

// Drain says that a node is about to stop, so that its shards are given to others;
// or, with Back, that it is there again.
type Drain struct {
	Node string `bson:"node"`
	Back bool   `bson:"back,omitempty"`
}

// Apply implements Command.
func (c Drain) Apply(s *Sync) error {
	s.Draining = slices.DeleteFunc(slices.Clone(s.Draining), func(n string) bool { return n == c.Node })
	if !c.Back {
		s.Draining = append(s.Draining, c.Node)
		slices.Sort(s.Draining)
	}
	return nil
}

// OwnedBy returns how many shards of the leg a node has.
func (l *Leg) OwnedBy(node string) (n int) {
	for _, sh := range l.Shards {
		if sh.Owner == node {
			n++
		}
	}
	return n
}
