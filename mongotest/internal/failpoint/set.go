package failpoint

import (
	"sync"

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
)

// A Set is the fail points of one process. Its methods may be called from many
// goroutines at once.
type Set struct {
	mu     sync.Mutex
	points map[Name]*point
}

// A point is the state of one fail point.
type point struct {
	left    int // times it still fires; negative is forever
	skip    int // matching passes to let through first
	data    Data
	entered int64 // times it has fired
}

// NewSet returns a Set whose fail points are all off.
func NewSet() *Set {
	return &Set{points: map[Name]*point{Command: {}, GetMore: {}, RetryableWrite: {}}}
}

// Take asks whether a fail point fires for something that match accepts, and
// counts it. match is called with the Set locked.
func (s *Set) Take(name Name, match func(Data) bool) (Data, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.points[name]
	if p.left == 0 || !match(p.data) {
		return Data{}, false
	}
	if p.skip > 0 {
		p.skip--
		return Data{}, false
	}
	if p.left > 0 {
		p.left--
	}
	p.entered++
	return p.data, true
}

// Configure carries out the command configureFailPoint.
func (s *Set) Configure(req *command.Request) (*command.Response, error) {
	if req.DB != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "configureFailPoint may only be run against the admin database.")
	}
	next, err := parse(req.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.points[Name(req.Collection())]
	if !ok {
		return nil, mongoerr.New(mongoerr.FailPointSetFailed, "%s not found", req.Collection())
	}
	next.entered = p.entered
	*p = next
	return &command.Response{Body: value.D("count", p.entered)}, nil
}

// parse reads mode and data of configureFailPoint.
func parse(body bson.Raw) (point, error) {
	var p point
	var err error
	if p.left, p.skip, err = parseMode(body.Lookup("mode")); err != nil {
		return point{}, err
	}
	doc, ok := body.Lookup("data").DocumentOK()
	if !ok {
		return p, nil
	}
	if err := bson.Unmarshal(doc, &p.data); err != nil {
		return point{}, mongoerr.New(mongoerr.TypeMismatch, "configureFailPoint: data: %v", err)
	}
	return p, nil
}

// parseMode reads "off", "alwaysOn", {times: n} or {skip: n}.
func parseMode(mode bson.RawValue) (left, skip int, err error) {
	if s, ok := mode.StringValueOK(); ok {
		switch s {
		case "off":
			return 0, 0, nil
		case "alwaysOn":
			return -1, 0, nil
		}
		return 0, 0, mongoerr.New(mongoerr.BadValue, "unknown mode: %s", s)
	}
	if doc, ok := mode.DocumentOK(); ok {
		for name, v := range value.Elements(doc) {
			n, isNumber := value.AsInt64(v)
			switch {
			case name != "times" && name != "skip":
				return 0, 0, mongoerr.New(mongoerr.BadValue, "'mode' must be one of 'off', 'alwaysOn', 'times' and 'skip' here; found '%s'", name)
			case !isNumber:
				return 0, 0, mongoerr.New(mongoerr.TypeMismatch, "'%s' option must be a number", name)
			case n < 0:
				return 0, 0, mongoerr.New(mongoerr.BadValue, "'%s' option to 'mode' must be positive", name)
			case name == "times":
				return int(n), 0, nil
			default:
				return -1, int(n), nil
			}
		}
	}
	return 0, 0, mongoerr.New(mongoerr.TypeMismatch, "'mode' must be a string or JSON object")
}
