package coordinator_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry/coordinator"
)

// A seat is where a node lives, dies and lives again.
type seat struct {
	*member
	number int

	mu    sync.Mutex
	life  *life         // nil while it is dead, or does not know all yet
	awake chan struct{} // nil; or closed when it goes on
}

// A life is one of a node: what clients have to do with it ends with it.
type life struct {
	c       *coordinator.Coordinator
	reports *coordinator.Reports
	ctx     context.Context
	end     context.CancelFunc
	ended   chan struct{}
}

// sit lets clients in.
func (s *seat) sit() {
	ctx, end := context.WithCancel(s.t.Context())
	l := &life{c: s.c, reports: coordinator.NewReports(s.c.Propose), ctx: ctx, end: end, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		assert.ErrorIs(s.t, l.reports.Run(ctx), context.Canceled)
	}()
	s.t.Cleanup(func() { end(); <-l.ended })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = l
}

// there returns the node's life, nil if nobody answers.
func (s *seat) there() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// pause holds clients, and what they are answered. The returned function ends it.
func (s *seat) pause() (goOn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake = make(chan struct{})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.awake)
		s.awake = nil
	}
}

// wait returns when the node is not paused.
func (s *seat) wait() {
	s.mu.Lock()
	awake := s.awake
	s.mu.Unlock()
	if awake != nil {
		<-awake
	}
}

// die kills the node; what its clients wait for they are not told.
func (s *seat) die() {
	s.mu.Lock()
	l := s.life
	s.life = nil
	s.mu.Unlock()
	s.isolate()
	s.net.Kill(s.host)
	l.end()
	s.stop()
	<-l.ended
	s.heal()
}

// revive starts the node again. As in the product, it takes clients once it knows
// what was accepted before.
func (s *seat) revive() {
	s.start()
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		err := s.c.CaughtUp(ctx)
		cancel()
		if err == nil {
			break
		}
		if s.t.Context().Err() != nil || errors.Is(err, coordinator.ErrNewer) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.sit()
}
