package shardworker

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// errFragments reports fragments of a large event that do not follow each other.
// Opening the stream again brings the event from its first fragment.
var errFragments = fmt.Errorf("fragments of a change event are out of order: %w", mongoconn.ErrPasses)

// An assembler puts events together again that $changeStreamSplitLargeEvent has
// split. Each fragment holds some of the event's top-level fields, beside
// splitEvent: {fragment, of} (server: change_stream_split_event_helpers.cpp).
// It belongs to one cursor.
type assembler struct {
	fields []byte // of the fragments so far
	seen   int32
}

// add takes what the stream brings next and returns the whole event, nil while
// fragments of it are missing. The result is a copy.
func (a *assembler) add(raw bson.Raw) (bson.Raw, error) {
	split, ok := field(raw, "splitEvent")
	if !ok {
		if a.seen > 0 {
			return nil, fmt.Errorf("%w: an event follows fragment %d", errFragments, a.seen)
		}
		return append(bson.Raw(nil), raw...), nil
	}
	doc, _ := split.DocumentOK()
	n, _ := doc.Lookup("fragment").Int32OK()
	of, _ := doc.Lookup("of").Int32OK()
	if n != a.seen+1 || n > of {
		return nil, fmt.Errorf("%w: fragment %d of %d follows fragment %d", errFragments, n, of, a.seen)
	}
	if err := a.take(raw); err != nil {
		return nil, err
	}
	a.seen = n
	if n < of {
		return nil, nil
	}
	start, whole := bsoncore.AppendDocumentStart(nil)
	whole = closeDocument(append(whole, a.fields...), start)
	*a = assembler{}
	return whole, nil
}

// take keeps the fields of a fragment that are the event's own.
func (a *assembler) take(raw bson.Raw) error {
	rest, err := body(raw)
	if err != nil {
		return err
	}
	for len(rest) > 0 {
		elem, tail, ok := bsoncore.ReadElement(rest)
		if !ok {
			return errors.New("a fragment of a change event is cut short")
		}
		rest = tail
		if key := string(elem.KeyBytes()); key != "_id" && key != "splitEvent" {
			a.fields = append(a.fields, elem...)
		}
	}
	return nil
}
