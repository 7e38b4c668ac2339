package timeseries

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const (
	lowPrefix  = "control.min."
	highPrefix = "control.max."
	bucketMeta = "meta"
	dataPrefix = "data."
	// SphereBuckets is the kind of a 2dsphere index on a measurement.
	SphereBuckets = "2dsphere_bucket"
)

// ofMeta maps a field of the metadata to the bucket's; not ok if it is another
// field.
func (o Options) ofMeta(field string) (string, bool) {
	first, rest, dotted := strings.Cut(field, ".")
	if o.MetaField == "" || first != o.MetaField {
		return "", false
	}
	if dotted {
		return bucketMeta + "." + rest, true
	}
	return bucketMeta, true
}

// BucketKey maps a key pattern on measurements to one on buckets.
func (o Options) BucketKey(pattern bson.Raw) (bson.Raw, error) {
	if value.IsEmpty(pattern) {
		return nil, mongoerr.New(mongoerr.CannotCreateIndex, "BadValue: Empty object is not a valid index spec")
	}
	dst := newDoc(2 * len(pattern))
	for field, v := range value.Elements(pattern) {
		if meta, ok := o.ofMeta(field); ok {
			dst = value.Append(dst, meta, v)
			continue
		}
		n, number := value.AsFloat64(v)
		kind, _ := v.StringValueOK()
		switch {
		case field == "$**" || strings.HasPrefix(field, "$**.") || strings.HasSuffix(field, ".$**"):
			return nil, mongoerr.New(codeWildcard, "wildcard indexes on time-series measurements are not supported: %s", pattern)
		case !number && field == o.TimeField:
			return nil, mongoerr.New(mongoerr.CannotCreateIndex, "BadValue: Invalid index spec for time-series collection: %s. "+
				"Indexes on the time field must be ascending or descending (numbers only): %s: %s", pattern, field, v)
		case kind == "2dsphere":
			dst = value.Append(dst, dataPrefix+field, value.String(SphereBuckets))
		case !number:
			return nil, mongoerr.New(mongoerr.CannotCreateIndex, "BadValue: Invalid index spec for time-series collection: %s. "+
				"Indexes on measurement fields must be ascending or descending (numbers only), or '2dsphere': %s: %s", pattern, field, v)
		case n < 0:
			dst = value.Append(value.Append(dst, highPrefix+field, v), lowPrefix+field, v)
		default:
			dst = value.Append(value.Append(dst, lowPrefix+field, v), highPrefix+field, v)
		}
	}
	return endDoc(dst), nil
}

// codeWildcard is what the server says to the two fields that a wildcard index
// on a measurement becomes.
const codeWildcard mongoerr.Code = 7246201

// measurementKey maps a key pattern on buckets to one on measurements; nil if
// there is none that would make it.
func (o Options) measurementKey(pattern bson.Raw) bson.Raw {
	dst := newDoc(len(pattern))
	pending, descending := "", false // a field of which the other half must follow
	for name, v := range value.Elements(pattern) {
		n, _ := value.AsFloat64(v)
		kind, _ := v.StringValueOK()
		meta, isMeta := strings.CutPrefix(name, bucketMeta)
		low, isLow := strings.CutPrefix(name, lowPrefix)
		high, isHigh := strings.CutPrefix(name, highPrefix)
		data, isData := strings.CutPrefix(name, dataPrefix)
		switch {
		case pending != "":
			other := low
			if !descending {
				other = high
			}
			if other != pending || (n < 0) != descending {
				return nil
			}
			dst, pending = value.Append(dst, pending, v), ""
		case isMeta && o.MetaField != "" && (meta == "" || meta[0] == '.'):
			dst = value.Append(dst, o.MetaField+meta, v)
		case isData && kind == SphereBuckets:
			dst = value.Append(dst, data, value.String("2dsphere"))
		case isLow && n > 0:
			pending, descending = low, false
		case isHigh && n < 0:
			pending, descending = high, true
		default:
			return nil
		}
	}
	if pending != "" {
		return nil
	}
	return endDoc(dst)
}

// onlyTimeAndMeta reports whether a key pattern on measurements is about
// nothing else.
func (o Options) onlyTimeAndMeta(pattern bson.Raw) bool {
	for field := range value.Elements(pattern) {
		if _, ok := o.ofMeta(field); !ok && field != o.TimeField {
			return false
		}
	}
	return true
}

// DefaultIndex is the index that a time-series collection with metadata begins
// with, as on the buckets; nil without metadata.
func (o Options) DefaultIndex() bson.Raw {
	if o.MetaField == "" {
		return nil
	}
	return value.D("key", value.D(bucketMeta, 1, lowPrefix+o.TimeField, 1, highPrefix+o.TimeField, 1),
		"name", o.MetaField+"_1_"+o.TimeField+"_1")
}

// The server's codes for shard keys that a time-series collection cannot have.
const (
	codeShardKeyField mongoerr.Code = 5914001
	codeShardKeyTime  mongoerr.Code = 5914000
)

// ShardKey maps a shard key on measurements to one on buckets: fields of the
// metadata, and the time behind them.
func (o Options) ShardKey(pattern bson.Raw) (bson.Raw, error) {
	dst, timed := newDoc(2*len(pattern)), false
	for field, v := range value.Elements(pattern) {
		meta, ok := o.ofMeta(field)
		n, _ := value.AsFloat64(v)
		switch {
		case timed:
			return nil, mongoerr.New(codeShardKeyTime, "Invalid shard key pattern for time-series collection: %s. The time field can only be at the end of the shard key pattern", pattern)
		case ok:
			dst = value.Append(dst, meta, v)
		case field != o.TimeField:
			return nil, mongoerr.New(codeShardKeyField, "only the time field and the metadata can be part of the shard key of a time-series collection: %s", pattern)
		case n <= 0:
			return nil, mongoerr.New(codeShardKeyTime, "Invalid shard key pattern for time-series collection: %s. The time field of a shard key can only be ascending", pattern)
		default:
			dst, timed = value.Append(dst, lowPrefix+field, v), true
		}
	}
	return endDoc(dst), nil
}

// Place is what decides on which shard a measurement lies: a bucket's metadata
// and time.
func (o Options) Place(doc bson.Raw) (bson.Raw, error) {
	m, err := o.Measure(doc)
	if err != nil {
		return nil, err
	}
	return value.D("control", value.D("min", value.D(o.TimeField, value.DateTime(o.round(m.Time)))), bucketMeta, m.Meta), nil
}
