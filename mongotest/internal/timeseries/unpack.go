package timeseries

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An Unpacker turns buckets into measurements: the stage $_internalUnpackBucket,
// compiled.
type Unpacker struct {
	timeField, metaField string
	include, exclude     []string
}

// The server's codes for malformed $_internalUnpackBucket stages.
const (
	codeNoObject    mongoerr.Code = 5346500
	codeFieldType   mongoerr.Code = 5346504
	codeUnknown     mongoerr.Code = 5346506
	codeNoTimeField mongoerr.Code = 5346508
	codeFieldList   mongoerr.Code = 5346502
)

// NewUnpacker compiles the stage.
func NewUnpacker(spec bson.RawValue) (*Unpacker, error) {
	d, ok := spec.DocumentOK()
	if !ok {
		return nil, mongoerr.New(codeNoObject, "$_internalUnpackBucket specification must be an object, got: %s", value.TypeName(spec.Type))
	}
	u := &Unpacker{}
	for name, v := range value.Elements(d) {
		switch name {
		case "timeField", "metaField":
			s, ok := v.StringValueOK()
			if !ok {
				return nil, mongoerr.New(codeFieldType, "%s field must be a string, got: %s", name, value.TypeName(v.Type))
			}
			if name == "timeField" {
				u.timeField = s
			} else {
				u.metaField = s
			}
		case "include", "exclude":
			names, err := fieldNames(name, v)
			if err != nil {
				return nil, err
			}
			if name == "include" {
				u.include = names
			} else {
				u.exclude = names
			}
		case "bucketMaxSpanSeconds", "assumeNoMixedSchemaData", "usesExtendedRange", "fixedBuckets": // for the planner
		default:
			return nil, mongoerr.New(codeUnknown, "unrecognized parameter to $_internalUnpackBucket: %s", name)
		}
	}
	if u.timeField == "" {
		return nil, mongoerr.New(codeNoTimeField, "The $_internalUnpackBucket stage requires a timeField parameter")
	}
	return u, nil
}

func fieldNames(option string, v bson.RawValue) ([]string, error) {
	arr, ok := v.ArrayOK()
	if !ok {
		return nil, mongoerr.New(codeFieldList, "include or exclude field must be an array, got: %s", value.TypeName(v.Type))
	}
	names := []string{}
	for _, e := range value.Elements(bson.Raw(arr)) {
		s, ok := e.StringValueOK()
		if !ok {
			return nil, mongoerr.New(codeFieldList, "%s field element must be a string, got: %s", option, value.TypeName(e.Type))
		}
		names = append(names, s)
	}
	return names, nil
}

// Unpacker returns what unpacks the buckets of a collection.
func (o Options) Unpacker() *Unpacker {
	return &Unpacker{timeField: o.TimeField, metaField: o.MetaField}
}

// wants reports whether a field is part of the result.
func (u *Unpacker) wants(name string) bool {
	if u.include != nil {
		return slices.Contains(u.include, name)
	}
	return !slices.Contains(u.exclude, name)
}

// A cursor goes through the cells of a column.
type cursor struct {
	name string
	rest []byte
}

// Unpack returns the measurements of a bucket by row: the time first, the
// metadata second, then the others.
func (u *Unpacker) Unpack(bucket bson.Raw) ([]bson.Raw, error) {
	if err := readable(bucket); err != nil {
		return nil, err
	}
	data, _ := bucket.Lookup("data").DocumentOK()
	meta := bucket.Lookup("meta")
	times, ok := data.Lookup(u.timeField).DocumentOK()
	if !ok {
		return nil, damaged(bucket)
	}
	var columns []cursor
	for name, v := range value.Elements(data) {
		d, ok := v.DocumentOK()
		if !ok {
			return nil, damaged(bucket)
		}
		if name != u.timeField && u.wants(name) {
			columns = append(columns, cursor{name: name, rest: d[4 : len(d)-1]})
		}
	}
	withTime, withMeta := u.wants(u.timeField), u.metaField != "" && meta.Type != 0 && u.wants(u.metaField)
	var docs []bson.Raw
	room := 128
	for row, t := range value.Elements(times) {
		dst := newDoc(room)
		if withTime {
			dst = value.Append(dst, u.timeField, t)
		}
		if withMeta {
			dst = value.Append(dst, u.metaField, meta)
		}
		for i := range columns {
			c := &columns[i]
			if key, v, rest, ok := value.ReadElement(c.rest); ok && string(key) == row {
				dst = value.Append(dst, c.name, v)
				c.rest = rest
			}
		}
		docs = append(docs, endDoc(dst))
		room = len(dst)
	}
	return docs, nil
}

// Count returns how many measurements a bucket holds.
func (u *Unpacker) Count(bucket bson.Raw) int {
	times, _ := bucket.Lookup("data", u.timeField).DocumentOK()
	n := 0
	for range value.Elements(times) {
		n++
	}
	return n
}
