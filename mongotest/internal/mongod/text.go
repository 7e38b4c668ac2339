package mongod

import (
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// textField is the name under which a key pattern holds the indexed texts.
const textField = "_fts"

// bindText gives the $text of w's filter, if it has one, the text index of c,
// which may be nil.
func bindText(c *storage.Collection, w *wanted) error {
	if c == nil || w.matcher == nil || !w.matcher.HasText() {
		return nil
	}
	switch {
	case !isNone(w.hint):
		return mongoerr.New(mongoerr.BadValue, "text and hint not allowed in same query")
	case naturalSort(w.sort) != 0:
		return mongoerr.New(mongoerr.BadValue, "text expression not allowed with $natural sort order")
	}
	for _, ix := range c.Indexes() {
		if ix.Hidden || ix.Special(textField) == "" {
			continue
		}
		var err error
		w.matcher, err = w.matcher.WithText(ix.Spec)
		return err
	}
	return mongoerr.New(mongoerr.IndexNotFound, "text index required for $text query")
}
