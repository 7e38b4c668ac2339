package timeseries

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// BucketsPrefix begins the names of the collections that hold buckets.
const BucketsPrefix = "system.buckets."

// UnpackStage is the stage that turns buckets into measurements.
const UnpackStage = "$_internalUnpackBucket"

// Options are those of a time-series collection, complete.
type Options struct {
	TimeField   string
	MetaField   string // empty: none
	Granularity string // empty: Rounding and MaxSpan were given
	Rounding    int64  // seconds; 0: the granularity says
	MaxSpan     int64  // seconds
}

// A span is what a granularity means for buckets, in seconds.
type span struct{ rounding, max int64 }

func spanOf(granularity string) span {
	switch granularity {
	case "minutes":
		return span{rounding: 3600, max: 86400}
	case "hours":
		return span{rounding: 86400, max: 30 * 86400}
	default:
		return span{rounding: 60, max: 3600}
	}
}

// Parse reads the timeseries document of create and fills in what is not given.
func Parse(spec bson.Raw) (Options, error) {
	o, err := read(spec)
	if err != nil {
		return o, err
	}
	return o, o.complete()
}

// besideTimeseries are the options that a time-series collection may have.
var besideTimeseries = []string{"timeseries", "expireAfterSeconds", "storageEngine", "indexOptionDefaults", "collation"}

// The server's code for a time-series collection with encrypted fields.
const codeEncrypted mongoerr.Code = 6346401

// CheckCreate refuses what the create command may not ask of a time-series
// collection. $out, which makes them too, is not that particular.
func CheckCreate(ns string, options bson.Raw) error {
	for name := range value.Elements(options) {
		switch {
		case name == "encryptedFields":
			return mongoerr.New(codeEncrypted, "Encrypted fields cannot be used with views or timeseries collections")
		case !slices.Contains(besideTimeseries, name):
			return mongoerr.New(mongoerr.InvalidOptions, "%s: 'timeseries' is not allowed with '%s'", ns, name)
		}
	}
	spec, _ := options.Lookup("timeseries").DocumentOK()
	o, err := read(spec)
	if err != nil {
		return err
	}
	return o.checkFields(ns)
}

// read takes the fields of spec as they are.
func read(spec bson.Raw) (Options, error) {
	var o Options
	for name, v := range value.Elements(spec) {
		if v.Type == bson.TypeNull {
			continue
		}
		switch name {
		case "timeField":
			o.TimeField, _ = v.StringValueOK()
		case "metaField":
			o.MetaField, _ = v.StringValueOK()
		case "granularity":
			o.Granularity, _ = v.StringValueOK()
		case "bucketMaxSpanSeconds":
			o.MaxSpan, _ = value.AsInt64(v)
		case "bucketRoundingSeconds":
			o.Rounding, _ = value.AsInt64(v)
		default:
			return o, mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'create.timeseries.%s' is an unknown field.", name)
		}
	}
	return o, nil
}

func (o *Options) checkFields(ns string) error {
	invalid := func(format string, args ...any) error {
		return mongoerr.New(mongoerr.InvalidOptions, format, args...)
	}
	topLevel := func(field string) error {
		return invalid("%s: '%s' must be a top-level field and not contain a '.'", ns, field)
	}
	for field, name := range map[string]string{"timeField": o.TimeField, "metaField": o.MetaField} {
		if strings.ContainsRune(name, 0) {
			return mongoerr.New(mongoerr.BadValue, "The '%s' name must not contain null bytes", field)
		}
	}
	switch {
	case strings.Contains(o.TimeField, "."):
		return topLevel("timeField")
	case o.MetaField == "_id":
		return invalid("%s: 'metaField' cannot be \"_id\"", ns)
	case o.MetaField != "" && o.MetaField == o.TimeField:
		return invalid("%s: 'metaField' cannot be the same as 'timeField'", ns)
	case strings.Contains(o.MetaField, "."):
		return topLevel("metaField")
	}
	return nil
}

// complete checks how buckets are cut and fills in what is not given.
func (o *Options) complete() error {
	invalid := func(why string) error { return mongoerr.New(mongoerr.InvalidOptions, "%s", why) }
	implied := spanOf(o.Granularity)
	if o.Granularity == "" {
		if o.MaxSpan != o.Rounding {
			return invalid("Time-series 'bucketRoundingSeconds' must be equal to 'bucketMaxSpanSeconds'")
		}
		if o.MaxSpan == 0 {
			o.Granularity, o.MaxSpan = "seconds", implied.max
		}
		return nil
	}
	if o.MaxSpan != 0 && o.MaxSpan != implied.max {
		return mongoerr.New(mongoerr.InvalidOptions,
			"Time-series 'bucketMaxSpanSeconds' cannot be set to a value other than the default of %d for the provided granularity", implied.max)
	}
	if o.Rounding != 0 && o.Rounding != implied.rounding {
		return invalid("Time-series 'bucketRoundingSeconds' cannot be set alongside the granularity parameter")
	}
	o.MaxSpan = implied.max
	return nil
}

// Document renders the options as listCollections shows them.
func (o Options) Document() bson.Raw {
	pairs := []any{"timeField", o.TimeField}
	if o.MetaField != "" {
		pairs = append(pairs, "metaField", o.MetaField)
	}
	if o.Granularity != "" {
		pairs = append(pairs, "granularity", o.Granularity)
	}
	if o.Rounding != 0 {
		pairs = append(pairs, "bucketRoundingSeconds", int32(o.Rounding))
	}
	return value.D(append(pairs, "bucketMaxSpanSeconds", int32(o.MaxSpan))...)
}

// ViewPipeline is the pipeline of the view on the buckets, a BSON array.
func (o Options) ViewPipeline() bson.Raw {
	pairs := []any{"timeField", o.TimeField}
	if o.MetaField != "" {
		pairs = append(pairs, "metaField", o.MetaField)
	}
	stage := value.D(UnpackStage, value.D(append(pairs, "bucketMaxSpanSeconds", int32(o.MaxSpan))...))
	return value.ArrayOf(value.Doc(stage)).Value
}

// Validator is the validator of the collection that holds the buckets.
func (o Options) Validator() bson.Raw {
	dated := value.D("bsonType", "object", "required", value.A(o.TimeField),
		"properties", value.D(o.TimeField, value.D("bsonType", "date")))
	control := value.D("bsonType", "object", "required", value.A("version", "min", "max"),
		"properties", value.D(
			"version", value.D("bsonType", "number"), "min", dated, "max", dated,
			"closed", value.D("bsonType", "bool"), "count", value.D("bsonType", "number", "minimum", int32(1)),
		),
		"additionalProperties", false)
	return value.D("$jsonSchema", value.D("bsonType", "object", "required", value.A("_id", "control", "data"),
		"properties", value.D(
			"_id", value.D("bsonType", "objectId"), "control", control,
			"data", value.D("bsonType", "object"), "meta", value.D(),
		),
		"additionalProperties", false))
}

// RoundingSeconds is what the time of a bucket is a multiple of.
func (o Options) RoundingSeconds() int64 {
	if o.Rounding != 0 {
		return o.Rounding
	}
	return spanOf(o.Granularity).rounding
}

// round returns the time of a bucket that begins with a measurement of time ms,
// both in milliseconds. It rounds down, before 1970 too.
func (o Options) round(ms int64) int64 {
	unit := o.RoundingSeconds() * 1000
	rounded := ms - ms%unit
	if rounded > ms {
		rounded -= unit
	}
	return rounded
}
