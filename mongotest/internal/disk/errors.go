package disk

import (
	"errors"
	"fmt"
)

// ErrClosed reports an append to a log that has been closed.
var ErrClosed = errors.New("disk: the log is closed")

// A DamageError names a file that does not hold what was written and synced to
// it. Nothing has been changed.
type DamageError struct {
	Path   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	where := ""
	if e.Offset > 0 {
		where = fmt.Sprintf(" at byte %d", e.Offset)
	}
	return fmt.Sprintf("%s is damaged%s: %s. Restore the whole data directory from a copy, or remove it to begin anew", e.Path, where, e.Reason)
}

// A RefusedError names a file or directory that cannot be opened as it is, and
// says what to do. Nothing has been changed.
type RefusedError struct {
	Path   string
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Reason) }
