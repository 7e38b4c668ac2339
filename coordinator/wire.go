package coordinator

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A reply is what a leader answers.
type reply struct {
	Index   uint64   // of the last command that the answer rests on
	Members []Member // in answer to askMembers
	Leader  string   // where to ask instead
	Refused error    // what applying the command returned
}

// replyDocument is a reply on its way between two nodes.
type replyDocument struct {
	Index   uint64   `bson:"index,omitempty"`
	Members []Member `bson:"members,omitempty"`
	Leader  string   `bson:"leader,omitempty"`
	Refused *fault   `bson:"refused,omitempty"`
	Failed  *fault   `bson:"failed,omitempty"`
}

func encodeReply(r reply, err error) ([]byte, error) {
	b, merr := bson.Marshal(replyDocument{Index: r.Index, Members: r.Members, Leader: r.Leader, Refused: toFault(r.Refused), Failed: toFault(err)})
	if merr != nil {
		return nil, fmt.Errorf("encode answer: %w", merr)
	}
	return b, nil
}

func decodeReply(b []byte) (reply, error) {
	var doc replyDocument
	if err := bson.Unmarshal(b, &doc); err != nil {
		return reply{}, fmt.Errorf("decode answer: %w: %w", shardferry.ErrOutcomeUnknown, err)
	}
	return reply{Index: doc.Index, Members: doc.Members, Leader: doc.Leader, Refused: doc.Refused.err()}, doc.Failed.err()
}

// tellable are the errors that a caller tells apart, by the names under which they
// travel.
var tellable = []struct {
	name string
	err  error
}{
	{"notLeader", shardferry.ErrNotLeader},
	{"outcomeUnknown", shardferry.ErrOutcomeUnknown},
	{"oplogWindowExceeded", shardferry.ErrOplogWindowExceeded},
	{"staleEpoch", shardferry.ErrStaleEpoch},
	{"notYet", state.ErrNotYet},
	{"keyReused", state.ErrKeyReused},
	{"membership", ErrMembership},
	{"newer", ErrNewer},
}

// A fault is an error on its way between two nodes.
type fault struct {
	Text  string                 `bson:"text"`
	Kinds []string               `bson:"kinds,omitempty"`
	State *shardferry.StateError `bson:"state,omitempty"`
	Lost  []shardferry.ShardID   `bson:"lost,omitempty"`

	Refused *state.RefusedError `bson:"refused,omitempty"`
}

func toFault(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Text: err.Error()}
	for _, k := range tellable {
		if errors.Is(err, k.err) {
			f.Kinds = append(f.Kinds, k.name)
		}
	}
	errors.As(err, &f.State)
	errors.As(err, &f.Refused)
	var lost *state.LostError
	if errors.As(err, &lost) {
		f.Lost = lost.Shards
	}
	return f
}

func (f *fault) err() error {
	if f == nil {
		return nil
	}
	e := &remoteError{text: f.Text}
	for _, k := range tellable {
		for _, name := range f.Kinds {
			if name == k.name {
				e.is = append(e.is, k.err)
			}
		}
	}
	if f.State != nil {
		e.is = append(e.is, f.State)
	}
	if f.Refused != nil {
		e.is = append(e.is, f.Refused)
	}
	if f.Lost != nil {
		e.is = append(e.is, &state.LostError{Shards: f.Lost})
	}
	return e
}

// A remoteError is an error of another node. It is what that one was.
type remoteError struct {
	text string
	is   []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.is }
