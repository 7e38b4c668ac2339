package failpoint

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Name is a fail point that exists.
type Name string

// The fail points.
const (
	// Command fails whole commands, before they run or in their write concern.
	Command Name = "failCommand"
	// GetMore fails a getMore that has found its cursor.
	GetMore Name = "failGetMoreAfterCursorCheckout"
	// RetryableWrite disturbs each statement of a retryable write as it is done.
	RetryableWrite Name = "onPrimaryTransactionalWrite"
	// TimeOut fails every command with a maxTimeMS as if that were over.
	TimeOut Name = "maxTimeAlwaysTimeOut"
	// NoTimeOut lets every maxTimeMS count for nothing.
	NoTimeOut Name = "maxTimeNeverTimeOut"
	// Inserts, Updates and Removes fail every statement of that kind.
	Inserts Name = "failAllInserts"
	Updates Name = "failAllUpdates"
	Removes Name = "failAllRemoves"
	// Conflict fails writes inside transactions with WriteConflict. Others the
	// server repeats by itself.
	Conflict Name = "WTWriteConflictException"
	// StopApply and StopFetch stop the replication of a secondary.
	StopApply Name = "rsSyncApplyStop"
	StopFetch Name = "stopReplProducer"
	// What holds the coordinator of a transaction on several shards, where its
	// name says.
	BeforeParticipants Name = "hangBeforeWritingParticipantList"
	BeforePrepare      Name = "hangBeforeSendingPrepare"
	BeforeDecision     Name = "hangBeforeWritingDecision"
	BeforeCommit       Name = "hangBeforeSendingCommit"
	BeforeAbort        Name = "hangBeforeSendingAbort"
	BeforeForgetting   Name = "hangBeforeDeletingCoordinatorDoc"
)

// names are all fail points.
var names = []Name{
	Command, GetMore, RetryableWrite, TimeOut, NoTimeOut, Inserts, Updates, Removes, Conflict, StopApply, StopFetch,
	BeforeParticipants, BeforePrepare, BeforeDecision, BeforeCommit, BeforeAbort, BeforeForgetting,
}

// A Set is the fail points of one process. Its methods may be called from many
// goroutines at once.
type Set struct {
	on atomic.Int32 // fail points that are not off: mostly none, which is soon known

	mu      sync.Mutex
	points  map[Name]*point
	entered chan struct{} // closed when one fires; nil while nobody waits
	changed chan struct{} // closed when a mode changes; nil while nobody waits
	watch   func()
}

// A point is the state of one fail point.
type point struct {
	mode    mode
	data    Data
	entered int64 // times it has fired
}

// NewSet returns a Set whose fail points are all off.
func NewSet() *Set {
	s := &Set{}
	s.Reset()
	return s
}

// Reset turns all fail points off, as the start of a process does.
func (s *Set) Reset() {
	s.mu.Lock()
	s.points = map[Name]*point{}
	s.on.Store(0)
	for _, n := range names {
		s.points[n] = &point{}
	}
	s.wake()
	watch := s.watch
	s.mu.Unlock()
	if watch != nil {
		watch()
	}
}

// Watch has f called after every change of a fail point's mode, from the
// goroutine that makes it. It is set once, before the Set is used.
func (s *Set) Watch(f func()) { s.watch = f }

// Take asks whether a fail point fires for something that match accepts, and
// counts it. match is called with the Set locked.
func (s *Set) Take(name Name, match func(Data) bool) (Data, bool) {
	if s.on.Load() == 0 {
		return Data{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.points[name]
	if p.mode.off() || !match(p.data) || !p.mode.pass(rand.Float64) {
		return Data{}, false
	}
	if p.mode.off() {
		s.on.Add(-1)
	}
	p.entered++
	if s.entered != nil {
		close(s.entered)
		s.entered = nil
	}
	return p.data, true
}

// Fires asks whether a fail point without conditions fires, and counts it.
func (s *Set) Fires(name Name) bool {
	_, ok := s.Take(name, func(Data) bool { return true })
	return ok
}

// On reports whether a fail point is on, without counting.
func (s *Set) On(name Name) bool {
	if s.on.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.points[name].mode.off()
}

// Hold returns once a fail point that holds is off, or with the cause of ctx's end.
func (s *Set) Hold(ctx context.Context, name Name) error {
	if !s.Fires(name) {
		return nil
	}
	for {
		changed := s.next()
		if !s.On(name) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Set) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// wake has everyone look again who is held. The caller holds mu.
func (s *Set) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Configure carries out the command configureFailPoint.
func (s *Set) Configure(req *command.Request) (*command.Response, error) {
	if err := adminOnly(req); err != nil {
		return nil, err
	}
	body, err := s.configure(req)
	if err == nil && s.watch != nil {
		s.watch()
	}
	return body, err
}

func (s *Set) configure(req *command.Request) (*command.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.points[Name(req.Collection())]
	if !ok {
		return nil, notFound(req)
	}
	next, err := parse(req.Body)
	if err != nil {
		return nil, err
	}
	if p.mode.off() != next.mode.off() {
		if next.mode.off() {
			s.on.Add(-1)
		} else {
			s.on.Add(1)
		}
	}
	next.entered = p.entered
	*p = next
	s.wake()
	return &command.Response{Body: value.D("count", p.entered)}, nil
}

// Wait carries out the command waitForFailPoint: it answers once the fail point
// has fired timesEntered times in all, or with the cause of ctx's end.
func (s *Set) Wait(ctx context.Context, req *command.Request) (*command.Response, error) {
	if err := adminOnly(req); err != nil {
		return nil, err
	}
	want, ok := value.AsInt64(req.Body.Lookup("timesEntered"))
	if !ok {
		return nil, mongoerr.New(mongoerr.IDLFailedToParse, "BSON field 'waitForFailPoint.timesEntered' is missing but a required field")
	}
	for {
		fired, err := s.watchEntered(req, want)
		if fired == nil {
			return &command.Response{Body: value.D()}, err
		}
		select {
		case <-fired:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// watchEntered returns what closes when a fail point fires, nil if the one that
// req waits for has fired often enough.
func (s *Set) watchEntered(req *command.Request, want int64) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.points[Name(req.Collection())]
	if !ok {
		return nil, notFound(req)
	}
	if p.entered >= want {
		return nil, nil
	}
	if s.entered == nil {
		s.entered = make(chan struct{})
	}
	return s.entered, nil
}

func adminOnly(req *command.Request) error {
	if req.DB != "admin" {
		return mongoerr.New(mongoerr.Unauthorized, "%s may only be run against the admin database.", req.Name)
	}
	return nil
}

func notFound(req *command.Request) error {
	return mongoerr.New(mongoerr.FailPointSetFailed, "%s not found", req.Collection())
}

// parse reads mode and data of configureFailPoint.
func parse(body bson.Raw) (point, error) {
	m, err := parseMode(body.Lookup("mode"))
	if err != nil {
		return point{}, err
	}
	p := point{mode: m}
	data := body.Lookup("data")
	if data.Type == 0 {
		return p, nil
	}
	doc, ok := data.DocumentOK()
	if !ok {
		return point{}, mongoerr.New(mongoerr.TypeMismatch, "the 'data' option must be a JSON object")
	}
	p.data = parseData(doc)
	return p, nil
}
