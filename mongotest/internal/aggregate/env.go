package aggregate

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
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
	// Replace makes docs the whole contents of the collection.
	Replace(ctx context.Context, db, coll string, docs []bson.Raw) error
	// Merge finds the document equal to doc in the fields on, asks decide what
	// becomes of it (nil: there is none) and stores what decide returns. A nil
	// answer changes nothing.
	Merge(ctx context.Context, db, coll string, on []string, doc bson.Raw, decide func(existing bson.Raw) (bson.Raw, error)) error
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
}

// Vars are the variables visible to an expression. It is a value: With returns
// an extended copy. The zero Vars has no variables but $$ROOT and $$CURRENT.
type Vars struct {
	scope *scope
}

type scope struct {
	name  string
	value bson.RawValue // type 0: missing
	outer *scope
}

// NewVars returns the variables of a command: those of its let document, whose
// values must be evaluated already, and $$NOW and $$CLUSTER_TIME.
func NewVars(let bson.Raw, now time.Time, clusterTime bson.Timestamp) Vars {
	return Vars{}
}

// With returns v with one more variable. A value of type 0 means missing.
func (v Vars) With(name string, value bson.RawValue) Vars {
	return Vars{scope: &scope{name: name, value: value, outer: v.scope}}
}
