package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// compileMeta compiles $meta. Searches by text, place or vector do not exist
// here, so documents have no metadata: what needs some is refused, the rest is
// missing.
func compileMeta(_ string, arg bson.RawValue) (evalFunc, error) {
	name, ok := arg.StringValueOK()
	if !ok {
		return nil, mongoerr.New(17307, "$meta only supports string arguments")
	}
	switch name {
	case "textScore", "geoNearDistance", "geoNearPoint":
		return nil, mongoerr.New(40218, "query requires %s metadata, but it is not available", name)
	case "randVal", "searchScore", "searchHighlights", "recordId", "indexKey", "sortKey", "searchScoreDetails", "searchSequenceToken",
		"vectorSearchScore", "score", "scoreDetails", "timeseriesBucketMinTime", "timeseriesBucketMaxTime", "stream":
		return literal(bson.RawValue{}), nil
	}
	return nil, mongoerr.New(17308, "Unsupported argument to $meta: %s", name)
}
