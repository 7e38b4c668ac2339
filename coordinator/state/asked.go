package state

import (
	"bytes"
	"errors"
	"slices"
	"time"
)

// Asked is a command of an operator as it came from outside, with what is kept of
// it: who asked for it, and under which key. One of the commands at its end is
// set; or Refused, if the node has refused it without asking the state; or Done, if
// it is no command of the state, as those about the nodes of a cluster.
//
// Other than commands are, it changes something when it is refused: what is kept,
// and nothing else.
type Asked struct {
	At      time.Time `bson:"at"`
	Command string    `bson:"command"`
	By      string    `bson:"by"`   // the name of the token, may be empty
	From    string    `bson:"from"` // the caller's address
	With    string    `bson:"with,omitempty"`
	Key     string    `bson:"key,omitempty"`  // of By; empty: none
	Hash    []byte    `bson:"hash,omitempty"` // of the command and its fields, if there is a key

	Refused *RefusedError `bson:"refused,omitempty"`

	Done bool `bson:"done,omitempty"`

	Start      *Start      `bson:"start,omitempty"`
	Pause      *Pause      `bson:"pause,omitempty"`
	Resume     *Resume     `bson:"resume,omitempty"`
	Commit     *Commit     `bson:"commit,omitempty"`
	TurnAround *TurnAround `bson:"turnAround,omitempty"`
}

// A RefusedError is why a command was not carried out. It is the same for whoever
// gives its key again.
type RefusedError struct {
	Kind string `bson:"kind"` // the name of the error in the API
	Text string `bson:"text"`
}

func (r *RefusedError) Error() string { return r.Text }

// The kinds of refusals that package state makes itself.
const (
	KindInvalidState = "InvalidState"
	KindNotYet       = "NotYet"
)

// lasting are the kinds that a key keeps. What is left out has decided nothing: a
// cluster was not reached, or the request was wrong.
var lasting = []string{KindInvalidState, KindNotYet, "Refused", "NotStarted"}

// ErrKeyReused reports a key that came with another command before. Nothing has
// changed.
var ErrKeyReused = errors.New("the key was used for another command, or with other fields")

// An Answer is what came of a command that had a key.
type Answer struct {
	At   time.Time `bson:"at"`
	By   string    `bson:"by"`
	Key  string    `bson:"key"`
	Hash []byte    `bson:"hash"`

	Refused *RefusedError `bson:"refused,omitempty"` // nil: it was carried out
}

// How long a key is known, and how many are.
const (
	AnswerKept  = 24 * time.Hour
	answersKept = 1000

	refusalKept = 1000 // bytes of its text
)

// Apply implements Command. It returns nil if the command is carried out or was,
// under its key; a *RefusedError if it is or was refused; and ErrKeyReused.
func (c Asked) Apply(s *Sync) error {
	if a, err := s.Answered(c.By, c.Key, c.Hash, c.At); err != nil {
		return err
	} else if a != nil {
		return a.Result()
	}
	s.Asked = true
	refused := c.Refused
	if refused == nil {
		refused = c.order(s)
	}
	e := AuditEntry{At: c.At, Command: c.Command, From: c.From, By: c.By, With: c.With}
	if refused != nil {
		refused = &RefusedError{Kind: shorten(refused.Kind, nameKept), Text: shorten(refused.Text, refusalKept)}
		e.Kind, e.Text = refused.Kind, refused.Text
	}
	s.audit(e)
	a := Answer{At: c.At, By: c.By, Key: c.Key, Hash: c.Hash, Refused: refused}
	if c.Key != "" && (refused == nil || slices.Contains(lasting, refused.Kind)) {
		s.remember(a)
	}
	return a.Result()
}

// order carries the command out, or returns why not.
func (c Asked) order(s *Sync) *RefusedError {
	var err error
	switch {
	case c.Done:
		return nil
	case c.Start != nil:
		err = c.Start.do(s)
	case c.Pause != nil:
		err = c.Pause.do(s)
	case c.Resume != nil:
		err = c.Resume.do(s)
	case c.Commit != nil:
		err = c.Commit.do(s)
	case c.TurnAround != nil:
		err = c.TurnAround.do(s)
	default:
		err = errors.New("no command")
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrNotYet) {
		return &RefusedError{Kind: KindNotYet, Text: err.Error()}
	}
	return &RefusedError{Kind: KindInvalidState, Text: err.Error()}
}

// Result returns nil if the command was carried out, else the *RefusedError.
func (a *Answer) Result() error {
	if a.Refused == nil {
		return nil
	}
	return a.Refused
}

// Answered returns what a command under this key was answered before, nil if it
// was not. It returns ErrKeyReused if the key was given with something else.
func (s *Sync) Answered(by, key string, hash []byte, now time.Time) (*Answer, error) {
	if key == "" {
		return nil, nil
	}
	for i := range s.Answers {
		a := s.Answers[i]
		if a.By != by || a.Key != key || a.over(now) {
			continue
		}
		if !bytes.Equal(a.Hash, hash) {
			return nil, ErrKeyReused
		}
		return &a, nil
	}
	return nil, nil
}

func (a *Answer) over(now time.Time) bool { return now.Sub(a.At) >= AnswerKept }

// remember keeps an answer, and drops those that are too old or too many. Copies
// of the state share Answers.
func (s *Sync) remember(a Answer) {
	all := append(s.Answers, a)
	first := max(0, len(all)-answersKept)
	for all[first].over(a.At) {
		first++
	}
	s.Answers = all[first:]
}
