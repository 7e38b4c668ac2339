package mongod

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A judge keeps scripts out of the storage's lock: a script may sleep, or never
// end. While the lock is held it collects what a write would ask scripts; the
// write is undone, the questions are answered without the lock, and the write is
// tried again, until it has asked nothing new. Answers hold for the same
// document or arguments, so a document that has changed meanwhile is a new
// question.
type judge struct {
	answers map[string]answer
	open    []question
	room    int // for open questions, before a pass gives up
}

// errUnanswered ends a pass that has asked something new.
var errUnanswered = errors.New("a script has not been asked yet")

// The bounds of a judge: the questions of one pass, and the passes after which
// scripts run under the lock. So many come only of questions that differ each
// time, such as those about $rand.
const (
	maxQuestions = 4096
	maxPasses    = 64
)

// A question is one call of a script: of a filter with a document, or of a
// function with arguments.
type question struct {
	code string
	doc  bson.Raw
	args []bson.RawValue
}

func (q question) key() string {
	b := append([]byte(q.code), 0)
	b = append(b, q.doc...)
	for _, a := range q.args {
		b = value.Append(b, "", a)
	}
	return string(b)
}

type answer struct {
	ok    bool
	value bson.RawValue
	err   error
}

// ask returns the answer to q or, before there is one, any.
func (j *judge) ask(q question) answer {
	key := q.key()
	if a, ok := j.answers[key]; ok {
		return a
	}
	if len(j.open) >= j.room {
		return answer{err: errUnanswered}
	}
	j.open = append(j.open, q)
	j.answers[key] = answer{value: value.Null()} // asked
	return j.answers[key]
}

// judged carries out a write whose filter or update runs scripts; try locks the
// storage and calls what it is given.
func (s *script) judged(ctx context.Context, fn func(*storage.Tx) error, try func(fn func(*storage.Tx) error) error) error {
	defer s.serve(ctx)()
	j := &judge{answers: map[string]answer{}, room: 1}
	for range maxPasses {
		err := s.pass(j, fn, try)
		if !errors.Is(err, errUnanswered) {
			return err
		}
		if err := s.answer(j); err != nil {
			return interrupted(ctx, err)
		}
		j.room = min(2*j.room, maxQuestions)
	}
	return interrupted(ctx, try(fn))
}

func (s *script) pass(j *judge, fn func(*storage.Tx) error, try func(fn func(*storage.Tx) error) error) error {
	s.judge = j
	defer func() { s.judge = nil }()
	return try(func(tx *storage.Tx) error {
		err := fn(tx)
		if len(j.open) > 0 {
			return errUnanswered // whatever came of answers that were none
		}
		return err
	})
}

// answer runs the scripts that were asked for. A failure is an answer: it counts
// if it is asked for again.
func (s *script) answer(j *judge) error {
	for _, q := range j.open {
		var a answer
		if q.doc != nil {
			a.ok, a.err = s.start().Test(s.ctx, q.code, q.doc)
		} else {
			a.value, a.err = s.start().Call(s.ctx, q.code, q.args)
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		j.answers[q.key()] = a
	}
	j.open = nil
	return nil
}
