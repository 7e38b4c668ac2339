package update

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// maxDocument is the size in bytes that no stored document may exceed.
const maxDocument = 16 << 20

// Kind says which of the three forms an update has. The oplog shows them
// differently; see LogDiff.
type Kind int

// The kinds of update.
const (
	Operators Kind = iota
	Replacement
	Pipeline
)

// Options belong to one statement of an update command.
type Options struct {
	ArrayFilters []bson.Raw
	// Upsert allows Apply on a nil document.
	Upsert bool
	// Query is the statement's filter; an upsert starts from its equalities.
	Query bson.Raw
	// Let holds the command's variables, already evaluated.
	Let bson.Raw
	// Collation is how strings are compared; nil compares their bytes.
	Collation *collation.Collation
	// Script runs the JavaScript of pipelines; without it they may have none.
	Script aggregate.Script
	// Now is the clock of $currentDate and $$NOW; nil means time.Now.
	Now func() time.Time
	// Timestamp gives the cluster time that replaces an empty timestamp and
	// that $currentDate writes; nil takes the seconds of Now.
	Timestamp func() bson.Timestamp
	// KeepEmptyTimestamps is the command's bypassEmptyTsReplacement.
	KeepEmptyTimestamps bool
}

// now returns the statement's time.
func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// timestamp returns the cluster time to write.
func (o Options) timestamp() bson.Timestamp {
	if o.Timestamp != nil {
		return o.Timestamp()
	}
	return bson.Timestamp{T: uint32(o.now().Unix()), I: 1}
}

// executor is what each kind of update compiles to. insert means that doc is
// the base of an upsert.
type executor interface {
	apply(doc bson.Raw, arrayIdx int, insert bool) (bson.Raw, error)
}

// Update is a compiled update. It is immutable and safe for concurrent use.
type Update struct {
	kind Kind
	opts Options
	exec executor
}

// Compile parses the u field of an update statement: a document (operators or
// a replacement) or an array (a pipeline).
func Compile(u bson.RawValue, o Options) (*Update, error) {
	out := &Update{opts: o}
	var err error
	switch {
	case u.Type == bson.TypeArray:
		out.kind = Pipeline
		out.exec, err = compilePipeline(u.Value, o)
	case u.Type != bson.TypeEmbeddedDocument:
		err = mongoerr.New(mongoerr.FailedToParse, "Update argument must be either an object or an array")
	case isOperators(u.Value):
		out.kind = Operators
		out.exec, err = compileOperators(u.Value, o)
	default:
		out.kind = Replacement
		out.exec, err = compileReplacement(u.Value, o)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Kind returns the update's form.
func (u *Update) Kind() Kind { return u.kind }

// IsReplacement reports whether the update is a whole document.
func (u *Update) IsReplacement() bool { return u.kind == Replacement }

// Apply returns the document after the update. A nil doc is an upsert: the
// result is the document to insert, with its _id first. arrayIdx is the array
// position the query matched, -1 if none. Finding that nothing changed is left
// to the caller: the bytes are equal then.
func (u *Update) Apply(doc bson.Raw, arrayIdx int) (bson.Raw, error) {
	if doc == nil {
		return u.upsert()
	}
	out, err := u.exec.apply(doc, arrayIdx, false)
	if err != nil {
		return nil, err
	}
	return out, checkSize(out)
}

// LogDiff returns the diff to log for a change from pre to post by this
// update. The server logs operators always as a diff, a replacement always in
// full and a pipeline as whichever is smaller; not ok means in full.
func (u *Update) LogDiff(pre, post bson.Raw) (bson.Raw, bool) {
	switch u.kind {
	case Operators:
		ops, _ := u.exec.(*operators)
		return diffAlong(pre, post, ops.paths)
	case Pipeline:
		return Diff(pre, post)
	default:
		return nil, false
	}
}

func checkSize(doc bson.Raw) error {
	if len(doc) > maxDocument {
		return mongoerr.New(17419, "Resulting document after update is larger than %d", maxDocument)
	}
	return nil
}
