package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// replacement puts a whole document in the place of the old one, which keeps
// its _id.
type replacement struct {
	doc  bson.Raw
	opts Options
}

func compileReplacement(doc bson.Raw, o Options) (executor, error) {
	if len(o.ArrayFilters) > 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "arrayFilters may not be specified for replacement-style updates")
	}
	for k := range value.Elements(doc) {
		if strings.HasPrefix(k, "$") {
			return nil, mongoerr.New(mongoerr.DollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '%s' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.", k, k)
		}
	}
	return &replacement{doc: doc, opts: o}, nil
}

func (r *replacement) apply(doc bson.Raw, _ int, _ bool) (bson.Raw, error) {
	return replaceKeepingID(doc, r.doc, r.opts)
}

// replaceKeepingID returns post with the _id of pre, in front unless post has
// placed it itself, and with its empty timestamps filled in.
func replaceKeepingID(pre, post bson.Raw, o Options) (bson.Raw, error) {
	oldID, had := value.Get(pre, "_id")
	newID, has := value.Get(post, "_id")
	if had && has && !value.Equal(oldID, newID) {
		return nil, mongoerr.New(mongoerr.ImmutableField, "After applying the update, the (immutable) field '_id' was found to have been altered to _id: %s", rawdoc.Render(newID))
	}
	var b rawdoc.Builder
	switch {
	case has:
		b.Add("_id", newID)
	case had:
		b.Add("_id", oldID)
	}
	for k, v := range value.Elements(post) {
		if k == "_id" {
			continue
		}
		if isEmptyTimestamp(v) && !o.KeepEmptyTimestamps {
			v = value.Timestamp(o.timestamp())
		}
		b.Add(k, v)
	}
	return b.Bytes(), nil
}

func isEmptyTimestamp(v bson.RawValue) bool {
	if v.Type != bson.TypeTimestamp {
		return false
	}
	t, i := v.Timestamp()
	return t == 0 && i == 0
}
