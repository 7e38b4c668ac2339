package timeseries

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// OriginalSpec is the field of an index on buckets that keeps what the client
// asked for, where that cannot be told from the index.
const OriginalSpec = "originalSpec"

// BucketIndexes maps the indexes of createIndexes to those of the buckets.
func (o Options) BucketIndexes(specs []bson.Raw) ([]bson.Raw, error) {
	out := make([]bson.Raw, len(specs))
	for i, s := range specs {
		var err error
		if out[i], err = o.bucketIndex(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// An indexSpec is one being mapped.
type indexSpec struct {
	given    bson.Raw
	key      bson.Raw // as given
	mapped   bson.Raw
	rest     []byte // the other options
	expires  bool
	filtered bool // has a partialFilterExpression
	metaOnly bool // which is about the metadata
}

func (o Options) bucketIndex(spec bson.Raw) (bson.Raw, error) {
	s := indexSpec{given: spec}
	s.key, _ = spec.Lookup("key").DocumentOK()
	for name, v := range value.Elements(spec) {
		if err := o.indexOption(&s, name, v); err != nil {
			return nil, err
		}
	}
	if s.expires {
		if !s.filtered || !s.metaOnly {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "TTL indexes on time-series collections require a partialFilterExpression on the metaField")
		}
		var err error
		if s.mapped, err = o.expiringKey(s.key); err != nil {
			return nil, err
		}
	}
	dst := newDoc(2 * len(spec))
	if s.mapped != nil {
		dst = value.Append(dst, "key", value.Doc(s.mapped))
	}
	dst = append(dst, s.rest...)
	if back := o.measurementKey(s.mapped); s.filtered || back == nil || !o.onlyTimeAndMeta(back) {
		dst = value.Append(dst, OriginalSpec, value.Doc(spec))
	}
	return endDoc(dst), nil
}

func (o Options) indexOption(s *indexSpec, name string, v bson.RawValue) error {
	refused := func(why string) error { return mongoerr.New(mongoerr.InvalidOptions, "%s", why) }
	var err error
	switch name {
	case "key":
		for _, kind := range value.Elements(s.key) {
			if k, _ := kind.StringValueOK(); k == "text" {
				return refused("Text indexes are not supported on time-series collections")
			}
		}
		if s.mapped, err = o.BucketKey(s.key); err != nil {
			return err
		}
		return nil
	case "partialFilterExpression":
		s.filtered = true
		if value.Truthy(s.given.Lookup("collation")) {
			return mongoerr.New(mongoerr.IndexOptionsConflict, "On a time-series collection, partialFilterExpression and collation arguments are incompatible")
		}
		filter, ok := v.DocumentOK()
		if !ok {
			break // whoever makes the index refuses it
		}
		if filter, s.metaOnly, err = o.bucketFilter(filter); err != nil {
			return err
		}
		v = value.Doc(filter)
	case "sparse":
		if value.Truthy(v) && !o.onlyTimeAndMeta(s.key) {
			return refused("Sparse indexes are not supported on time-series measurements")
		}
	case "unique":
		if value.Truthy(v) {
			return refused("Unique indexes are not supported on time-series collections")
		}
	case "expireAfterSeconds":
		s.expires = true
	case OriginalSpec:
		return mongoerr.New(mongoerr.InvalidIndexSpecificationOption, "The field 'originalSpec' is not valid for an index specification. Specification: %s", s.given)
	}
	s.rest = value.Append(s.rest, name, v)
	return nil
}

// expiringKey is the key pattern of an index that expires buckets.
func (o Options) expiringKey(key bson.Raw) (bson.Raw, error) {
	n := 0
	for name, v := range value.Elements(key) {
		if n++; n > 1 {
			return nil, mongoerr.New(mongoerr.CannotCreateIndex, "TTL indexes are single-field indexes, compound indexes do not support TTL. Index spec: %s", key)
		}
		if name != o.TimeField {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "TTL indexes on non-time fields are not supported on time-series collections")
		}
		key = value.D(lowPrefix+o.TimeField, v)
	}
	return key, nil
}

// MeasurementIndex maps an index on buckets to the one that clients see; nil if
// they see none.
func (o Options) MeasurementIndex(spec bson.Raw) bson.Raw {
	if original, ok := spec.Lookup(OriginalSpec).DocumentOK(); ok {
		if _, ok := value.Get(original, "v"); ok {
			return original
		}
		dst := value.Append(newDoc(len(original)), "v", value.Int32(2))
		return endDoc(append(dst, original[4:len(original)-1]...))
	}
	key, _ := spec.Lookup("key").DocumentOK()
	back := o.measurementKey(key)
	if back == nil {
		return nil
	}
	dst := newDoc(len(spec))
	for name, v := range value.Elements(spec) {
		if name == "key" {
			v = value.Doc(back)
		}
		dst = value.Append(dst, name, v)
	}
	return endDoc(dst)
}
