package changestream

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// nonResumable is the label of the two errors that no resume can heal.
const nonResumable = "NonResumableChangeStreamError"

func historyLost(message string) error {
	return mongoerr.New(mongoerr.ChangeStreamHistoryLost, "%s", message).WithLabel(nonResumable)
}

func fatal(format string, args ...any) error {
	return mongoerr.New(mongoerr.ChangeStreamFatalError, format, args...).WithLabel(nonResumable)
}

func tokenNotFound(token bson.Raw) error {
	return fatal("cannot resume stream; the resume token was not found. %s", token)
}

func idModified(expected, found string) error {
	return fatal("Encountered an event whose _id field, which contains the resume token, was modified by the pipeline. "+
		"Modifying the _id field of an event makes it impossible to resume the stream from that point. "+
		"Only transformations that retain the unmodified _id field are allowed. Expected: %s but found: %s", expected, found)
}

// imageMissing is the error of fullDocument or fullDocumentBeforeChange
// "required". It has no label: every resume meets it again.
func imageMissing(image, events string, token bson.Raw) error {
	return mongoerr.New(mongoerr.NoMatchingDocument,
		"Change stream was configured to require a %s for all %s events, but the %s was not found for event: %s",
		image, events, image, token)
}
