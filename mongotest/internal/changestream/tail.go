package changestream

import (
	"context"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// maxEventSize is the limit of one document in a reply: 16 MiB and 16 KiB.
const maxEventSize = 16<<20 + 16<<10

// An output is one document for the client.
type output struct {
	doc  bson.Raw
	id   bson.Raw // its token
	time bson.Timestamp
	last bool // the stream ends with it
}

// A tail is what follows the point at which a stream is divided between shards
// and mongos: the check that the resume token was found, the user's stages, and
// the splitting of large events.
type tail struct {
	resume  *Token // nil unless the stream resumes after an event
	data    string // resume's _data without a fragment number
	found   bool
	passed  bool // an event after resume's has come
	classic bool // without showExpandedEvents

	pipeline *aggregate.Pipeline // nil without user stages
	split    bool
}

func newTail(spec Spec, userStages []bson.Raw) (*tail, error) {
	t := &tail{classic: !spec.ShowExpandedEvents}
	if s := spec.Start; s != nil && s.Type == EventToken {
		t.resume = s
		t.data = s.withoutFragment().data()
	}
	stages, split, err := checkStages(userStages)
	if err != nil {
		return nil, err
	}
	t.split = split
	if len(stages) == 0 {
		return t, nil
	}
	vars := aggregate.NewVars(nil, time.Now(), bson.Timestamp{}).Collated(spec.Collation)
	if t.pipeline, err = aggregate.CompilePipeline(stages, aggregate.Env{DB: spec.DB, Vars: vars}); err != nil {
		return nil, err
	}
	return t, nil
}

// checkStages refuses the stages no change stream may have and takes off a
// final $changeStreamSplitLargeEvent.
func checkStages(userStages []bson.Raw) (stages []bson.Raw, split bool, err error) {
	for i, s := range userStages {
		first, err := s.IndexErr(0)
		if err != nil {
			return nil, false, mongoerr.New(40323, "A pipeline stage specification object must contain exactly one field.")
		}
		switch name := first.Key(); name {
		case "$match", "$project", "$addFields", "$set", "$unset", "$replaceRoot", "$replaceWith", "$redact":
			stages = append(stages, s)
		case "$changeStreamSplitLargeEvent":
			if i != len(userStages)-1 {
				return nil, false, mongoerr.New(7182802, "$changeStreamSplitLargeEvent must be the last stage in the pipeline")
			}
			split = true
		default:
			if _, err := aggregate.CompilePipeline([]bson.Raw{s}, aggregate.Env{}); mongoerr.Is(err, 40324) {
				return nil, false, err // the name is unknown altogether
			}
			return nil, false, mongoerr.New(mongoerr.IllegalOperation, "%s is not permitted in a $changeStream pipeline", name)
		}
	}
	return stages, split, nil
}

// push appends to dst what the client gets of the event: nothing, a document,
// or its parts.
func (t *tail) push(ctx context.Context, dst []output, e event) ([]output, error) {
	fragments := 0 // parts the client has already
	if t.resume != nil && !t.passed {
		data, _ := tokenParts(e.id)
		switch c := strings.Compare(data, t.data); {
		case c < 0:
			return dst, nil
		case c == 0:
			t.found = true
			if t.resume.Fragment == 0 {
				return dst, nil
			}
			fragments = t.resume.Fragment
		case !t.found:
			return dst, tokenNotFound(t.resume.BSON())
		default:
			t.passed = true
		}
	}
	if t.classic && e.expanded {
		return dst, nil
	}
	doc, err := t.run(ctx, e)
	if err != nil {
		return dst, err
	}
	if doc == nil && !e.invalidates {
		return dst, nil
	}
	return t.finish(dst, e, doc, fragments)
}

// finish splits or measures the document. An invalidate event that the user's
// stages filter out still ends the stream, without a document.
func (t *tail) finish(dst []output, e event, doc bson.Raw, skip int) ([]output, error) {
	if t.split && doc != nil {
		parts, err := splitEvent(doc, e.id)
		if err != nil {
			return dst, err
		}
		if parts != nil {
			for i := skip; i < len(parts); i++ {
				id, _ := parts[i].Lookup("_id").DocumentOK()
				dst = append(dst, output{doc: parts[i], id: id, time: e.time})
			}
			return dst, nil
		}
	}
	if skip > 0 {
		return dst, fatal("Attempting to resume from a split event fragment, but the event in the resumed stream was not split: %s", e.id)
	}
	if len(doc) > maxEventSize {
		return dst, mongoerr.New(mongoerr.BSONObjectTooLarge,
			"BSONObj size: %d (0x%X) is invalid. Size must be between 0 and %d(16MB)", len(doc), len(doc), maxEventSize)
	}
	return append(dst, output{doc: doc, id: e.id, time: e.time, last: e.invalidates}), nil
}

// run sends one event through the user's stages; nil if they drop it.
func (t *tail) run(ctx context.Context, e event) (bson.Raw, error) {
	if t.pipeline == nil {
		return e.doc, nil
	}
	in := single(e.doc)
	doc, err := t.pipeline.Run(&in).Next(ctx)
	if err != nil || doc == nil {
		return nil, err
	}
	if id, err := doc.LookupErr("_id"); err != nil || id.Type != bson.TypeEmbeddedDocument || string(id.Value) != string(e.id) {
		return nil, idModified(e.id.String(), id.String())
	}
	return doc, nil
}

// single is a source of one document.
type single bson.Raw

// Next implements aggregate.Source.
func (s *single) Next(context.Context) (bson.Raw, error) {
	doc := bson.Raw(*s)
	*s = nil
	return doc, nil
}
