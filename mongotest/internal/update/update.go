package update

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// Kind says which of the three forms an update has. The oplog shows them
// differently: operators always as a diff, a replacement always in full, a
// pipeline as whichever is smaller.
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
	// Now is the clock of $currentDate and $$NOW; nil means time.Now.
	Now func() time.Time
	// Timestamp gives the cluster time that replaces an empty timestamp and
	// that $currentDate writes; nil takes the seconds of Now.
	Timestamp func() bson.Timestamp
	// KeepEmptyTimestamps is the command's bypassEmptyTsReplacement.
	KeepEmptyTimestamps bool
}

// Update is a compiled update. It is immutable and safe for concurrent use.
type Update struct {
	kind Kind
	opts Options
}

// Compile parses the u field of an update statement: a document (operators or
// a replacement) or an array (a pipeline).
func Compile(u bson.RawValue, o Options) (*Update, error) {
	return nil, mongoerr.New(mongoerr.FailedToParse, "Update argument must be either an object or an array")
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
	return doc, nil
}
