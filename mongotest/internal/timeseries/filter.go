package timeseries

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// MetaQuery maps a filter on the metadata to one on buckets. A filter on
// anything else is refused: that is what an update may ask.
func (o Options) MetaQuery(filter bson.Raw) (bson.Raw, error) {
	dst := newDoc(len(filter))
	for name, v := range value.Elements(filter) {
		switch {
		case name == "$expr" || name == "$where":
			return nil, mongoerr.New(mongoerr.InvalidOptions, "Cannot use %s when performing an update or delete on a time-series collection", name)
		case name == "$and" || name == "$or" || name == "$nor":
			arr, ok := v.ArrayOK()
			if !ok {
				break
			}
			list := newDoc(len(arr))
			for i, e := range value.Elements(bson.Raw(arr)) {
				if d, ok := e.DocumentOK(); ok {
					mapped, err := o.MetaQuery(d)
					if err != nil {
						return nil, err
					}
					e = value.Doc(mapped)
				}
				list = value.Append(list, i, e)
			}
			v = value.Array(endDoc(list))
		case strings.HasPrefix(name, "$"):
		default:
			meta, ok := o.ofMeta(name)
			if !ok {
				return nil, mongoerr.New(mongoerr.InvalidOptions,
					"Cannot perform an update or delete on a time-series collection when querying on a field that is not the metaField '%s'", o.MetaField)
			}
			name = meta
		}
		dst = value.Append(dst, name, v)
	}
	return endDoc(dst), nil
}

// MetaUpdate maps the operators of an update to the bucket's metadata.
func (o Options) MetaUpdate(u bson.RawValue) (bson.RawValue, error) {
	refused := func(why string) (bson.RawValue, error) {
		return u, mongoerr.New(mongoerr.InvalidOptions, "Cannot perform an update on a time-series collection %s", why)
	}
	if u.Type == bson.TypeArray {
		return refused("using a pipeline update")
	}
	other := "which updates a field that is not the metaField '" + o.MetaField + "'"
	d, _ := u.DocumentOK()
	dst := newDoc(len(d))
	for op, v := range value.Elements(d) {
		if !strings.HasPrefix(op, "$") {
			return refused("using a replacement document")
		}
		fields, ok := v.DocumentOK()
		if !ok {
			dst = value.Append(dst, op, v) // whoever compiles it refuses it
			continue
		}
		mapped := newDoc(len(fields))
		for name, x := range value.Elements(fields) {
			meta, ok := o.ofMeta(name)
			if !ok {
				return refused(other)
			}
			if op == "$rename" {
				to, _ := x.StringValueOK()
				if to, ok = o.ofMeta(to); !ok {
					return refused(other)
				}
				x = value.String(to)
			}
			mapped = value.Append(mapped, meta, x)
		}
		dst = value.Append(dst, op, value.Doc(endDoc(mapped)))
	}
	if value.IsEmpty(d) {
		return refused("using a replacement document")
	}
	return value.Doc(endDoc(dst)), nil
}

// codeNoBucketFilter is the server's code for a partial filter that says
// nothing about whole buckets.
const codeNoBucketFilter mongoerr.Code = 5916301

// bucketFilter maps the filter of a partial index to one that every bucket with
// a matching measurement fulfils. metaOnly reports that it is about the
// metadata alone.
func (o Options) bucketFilter(filter bson.Raw) (mapped bson.Raw, metaOnly bool, err error) {
	dst, metaOnly := newDoc(2*len(filter)), true
	for name, v := range value.Elements(filter) {
		if name == "$and" || name == "$or" {
			list, only, err := o.bucketFilters(v)
			if err != nil {
				return nil, false, err
			}
			dst, metaOnly = value.Append(dst, name, list), metaOnly && only
			continue
		}
		if meta, ok := o.ofMeta(name); ok || strings.HasPrefix(name, "$") {
			if !ok {
				meta = name
			}
			dst = value.Append(dst, meta, v)
			continue
		}
		metaOnly = false
		if dst, err = appendBounds(dst, name, v); err != nil {
			return nil, false, err
		}
	}
	return endDoc(dst), metaOnly, nil
}

func (o Options) bucketFilters(list bson.RawValue) (bson.RawValue, bool, error) {
	arr, ok := list.ArrayOK()
	if !ok {
		return list, true, nil
	}
	dst, metaOnly := newDoc(2*len(arr)), true
	for i, e := range value.Elements(bson.Raw(arr)) {
		if d, ok := e.DocumentOK(); ok {
			mapped, only, err := o.bucketFilter(d)
			if err != nil {
				return list, false, err
			}
			e, metaOnly = value.Doc(mapped), metaOnly && only
		}
		dst = value.Append(dst, i, e)
	}
	return value.Array(endDoc(dst)), metaOnly, nil
}

// appendBounds adds what a condition on a measurement says about the bucket's
// extremes.
func appendBounds(dst []byte, field string, condition bson.RawValue) ([]byte, error) {
	operators, ok := condition.DocumentOK()
	if !ok || value.IsEmpty(operators) {
		operators = value.D("$eq", condition)
	}
	lows, highs := newDoc(64), newDoc(64)
	for op, v := range value.Elements(operators) {
		switch op {
		case "$eq":
			lows, highs = value.Append(lows, "$lte", v), value.Append(highs, "$gte", v)
		case "$gt", "$gte":
			highs = value.Append(highs, op, v)
		case "$lt", "$lte":
			lows = value.Append(lows, op, v)
		default:
			return nil, mongoerr.New(codeNoBucketFilter, "Error translating non-metadata time-series predicate to operate on buckets: %s on '%s' is not supported", op, field)
		}
	}
	for _, side := range []struct {
		prefix string
		doc    []byte
	}{{lowPrefix, lows}, {highPrefix, highs}} {
		if len(side.doc) > 4 {
			dst = value.Append(dst, side.prefix+field, value.Doc(endDoc(side.doc)))
		}
	}
	return dst, nil
}
