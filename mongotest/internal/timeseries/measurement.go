package timeseries

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Measurement is a document for a bucket.
type Measurement struct {
	Doc  bson.Raw
	Time int64         // milliseconds
	Meta bson.RawValue // with the fields of documents in order; type 0: none
}

// Measure looks at a document. It must have a time.
func (o Options) Measure(doc bson.Raw) (Measurement, error) {
	t, ok := value.Get(doc, o.TimeField)
	if !ok || t.Type != bson.TypeDateTime {
		return Measurement{}, mongoerr.New(mongoerr.BadValue, "'%s' must be present and contain a valid BSON UTC datetime value", o.TimeField)
	}
	m := Measurement{Doc: doc, Time: t.DateTime()}
	if o.MetaField != "" {
		if meta, ok := value.Get(doc, o.MetaField); ok {
			m.Meta = normalised(meta)
		}
	}
	return m, nil
}

// normalised sorts the fields of documents by name, so that metadata is the
// same in whatever order it is written.
func normalised(v bson.RawValue) bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		type field struct {
			name string
			v    bson.RawValue
		}
		var fields []field
		for name, e := range value.Elements(v.Value) {
			fields = append(fields, field{name, normalised(e)})
		}
		slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
		dst := newDoc(len(v.Value))
		for _, f := range fields {
			dst = value.Append(dst, f.name, f.v)
		}
		return value.Doc(endDoc(dst))
	case bson.TypeArray:
		dst := newDoc(len(v.Value))
		for name, e := range value.Elements(v.Value) {
			dst = value.Append(dst, name, normalised(e))
		}
		return value.Array(endDoc(dst))
	default:
		return v
	}
}

// SameMeta reports whether two measurements may share a bucket.
func SameMeta(a, b bson.RawValue) bool { return a.Type == b.Type && string(a.Value) == string(b.Value) }

func newDoc(room int) []byte { return make([]byte, 4, room+8) }

// endDoc ends a document that newDoc began.
func endDoc(dst []byte) bson.Raw {
	dst = append(dst, 0)
	n := len(dst)
	dst[0], dst[1], dst[2], dst[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	return dst
}
