package aggregate

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Source yields documents one by one. The end is (nil, nil).
type Source interface {
	Next(ctx context.Context) (bson.Raw, error)
}

// Reader opens other collections for $lookup and $unionWith. It is called
// while the pipeline runs, from the goroutine that calls Next.
type Reader interface {
	// Open returns all documents of a collection, or of a view after its own
	// pipeline; one that does not exist is empty.
	Open(ctx context.Context, db, coll string) (Source, error)
}

// Writer stores the results of $out and $merge. It is called while the
// pipeline runs, from the goroutine that calls Next.
type Writer interface {
	// Replace makes docs the whole contents of the collection, which becomes a
	// time-series collection with the options series unless they are nil.
	Replace(ctx context.Context, db, coll string, series bson.Raw, docs []bson.Raw) error
	// Merge finds the document equal to doc in the fields on, asks decide what
	// becomes of it (nil: there is none) and stores what decide returns. A nil
	// answer changes nothing.
	Merge(ctx context.Context, db, coll string, on []string, doc bson.Raw, decide func(existing bson.Raw) (bson.Raw, error)) error
}

// Script runs server-side JavaScript for $function, $accumulator and mapReduce.
// It is called where an expression is evaluated, one call at a time. A source is
// a function, or the body of one.
type Script interface {
	// Call calls a function. Numbers it returns are doubles, undefined is null.
	Call(code string, args []bson.RawValue) (bson.RawValue, error)
	// Map calls a function with doc as this, and emit for what it emits.
	Map(code string, doc bson.Raw, emit func(k, v bson.RawValue) error) error
}

// Env is what a pipeline takes from the command that runs it.
type Env struct {
	// DB is the database of the aggregate command.
	DB string
	// Vars are the command's variables; see NewVars.
	Vars Vars
	// Reader may be nil: the stages that need it are refused.
	Reader Reader
	// Writer may be nil: the stages that need it are refused.
	Writer Writer
	// Where compiles $where for the $match of mapReduce; elsewhere it is nil and
	// $where refused.
	Where func(code string) (func(doc bson.Raw) (bool, error), error)
	// inFacet says that the stages are within a $facet.
	inFacet bool
}

// Vars are the variables visible to an expression. It is a value: With returns
// an extended copy. The zero Vars has no variables but $$ROOT, $$CURRENT and
// $$REMOVE.
type Vars struct {
	scope *scope
	coll  *collation.Collation
}

type scope struct {
	name  string
	value bson.RawValue // type 0: missing
	outer *scope
	// script stands in a scope of no name.
	script Script
}

// NewVars returns the variables of a command: those of its let document, whose
// values must be evaluated already, and $$NOW and $$CLUSTER_TIME.
func NewVars(let bson.Raw, now time.Time, clusterTime bson.Timestamp) Vars {
	v := Vars{}.With("NOW", value.DateTime(now.UnixMilli()))
	if !clusterTime.IsZero() {
		v = v.With("CLUSTER_TIME", value.Timestamp(clusterTime))
	}
	for name, x := range value.Elements(let) {
		v = v.With(name, x)
	}
	return v
}

// With returns v with one more variable. A value of type 0 means missing.
func (v Vars) With(name string, value bson.RawValue) Vars {
	return Vars{scope: &scope{name: name, value: value, outer: v.scope}, coll: v.coll}
}

// WithScript returns v with what runs JavaScript. Without one JavaScript is
// refused.
func (v Vars) WithScript(s Script) Vars {
	return Vars{scope: &scope{script: s, outer: v.scope}, coll: v.coll}
}

// runner returns what runs JavaScript.
func (v Vars) runner() (Script, error) {
	for s := v.scope; s != nil; s = s.outer {
		if s.script != nil {
			return s.script, nil
		}
	}
	return nil, mongoerr.New(31264, "Cannot run server-side javascript without the javascript engine enabled")
}

func (v Vars) lookup(name string) (bson.RawValue, bool) {
	for s := v.scope; s != nil; s = s.outer {
		if s.name == name {
			return s.value, true
		}
	}
	return bson.RawValue{}, false
}

// EvalLet evaluates the let document of a command: its expressions see no
// document, but the variables given.
func EvalLet(let bson.Raw, vars Vars) (bson.Raw, error) {
	e, err := CompileExpr(value.Doc(let))
	if err != nil {
		return nil, err
	}
	v, _, err := e.Eval(nil, vars)
	return v.Value, err
}
