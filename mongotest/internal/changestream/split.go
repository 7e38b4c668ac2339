package changestream

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// splitThreshold is the size from which $changeStreamSplitLargeEvent splits an
// event: maxEventSize less 8 KiB.
const splitThreshold = maxEventSize - 8<<10

// splitEvent returns the parts of a large event, nil if it is small enough. A
// part holds some of the event's top-level fields, the smallest ones first, its
// own token, and splitEvent: {fragment, of}.
func splitEvent(doc, id bson.Raw) ([]bson.Raw, error) {
	if len(doc) <= splitThreshold {
		return nil, nil
	}
	whole, err := ParseToken(id)
	if err != nil {
		return nil, err
	}
	limit := splitThreshold - len(id)
	groups, err := packFields(doc, limit)
	if err != nil {
		return nil, err
	}
	parts := make([]bson.Raw, len(groups))
	for i, fields := range groups {
		whole.Fragment = i + 1
		parts[i] = renderPart(whole.BSON(), i+1, len(groups), fields)
	}
	return parts, nil
}

// A field is one element of a document.
type field struct {
	name string
	v    bson.RawValue
}

func (f field) size() int { return len(f.name) + len(f.v.Value) + 2 }

// packFields distributes the fields but _id into groups of at most limit bytes.
func packFields(doc bson.Raw, limit int) ([][]field, error) {
	var fields []field
	for name, v := range value.Elements(doc) {
		if name != "_id" {
			fields = append(fields, field{name, v})
		}
	}
	slices.SortStableFunc(fields, func(a, b field) int {
		return cmp.Or(cmp.Compare(a.size(), b.size()), cmp.Compare(a.name, b.name))
	})
	var groups [][]field
	used := limit
	for _, f := range fields {
		size := f.size()
		if size > limit {
			return nil, mongoerr.New(7182500, "Splitting change event failed: unable to split field '%s' of %d bytes", f.name, size)
		}
		if used+size > limit {
			groups = append(groups, nil)
			used = partOverhead
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], f)
		used += size
	}
	return groups, nil
}

// partOverhead is the size of a part without its token and fields: the document
// itself, the name _id, and splitEvent.
const partOverhead = 5 + 5 + 45

func renderPart(id bson.Raw, fragment, of int, fields []field) bson.Raw {
	start, dst := bsoncore.AppendDocumentStart(nil)
	dst = appendDoc(dst, "_id", id)
	i, dst := bsoncore.AppendDocumentElementStart(dst, "splitEvent")
	dst = bsoncore.AppendInt32Element(dst, "fragment", int32(fragment))
	dst = bsoncore.AppendInt32Element(dst, "of", int32(of))
	dst, _ = bsoncore.AppendDocumentEnd(dst, i) // fails for a wrong index only
	for _, f := range fields {
		dst = value.Append(dst, f.name, f.v)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, start) // fails for a wrong index only
	return dst
}
