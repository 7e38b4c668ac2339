package aggregate

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// sink is a stage that reads all and yields nothing.
func sink(f func(ctx context.Context, docs []bson.Raw) error) stage {
	return gathered(func(ctx context.Context, docs []bson.Raw) ([]bson.Raw, error) { return nil, f(ctx, docs) })
}

func compileOut(spec bson.RawValue, env Env) (stage, error) {
	if env.Writer == nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "$out cannot write here")
	}
	db, coll, series, err := outTarget(spec, env)
	if err != nil {
		return nil, err
	}
	if coll == "" {
		return nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid $out target namespace, %s.", db)
	}
	return sink(func(ctx context.Context, docs []bson.Raw) error {
		return env.Writer.Replace(ctx, db, coll, series, docs)
	}), nil
}

func outTarget(spec bson.RawValue, env Env) (db, coll string, series bson.Raw, err error) {
	if s, ok := spec.StringValueOK(); ok {
		return env.DB, s, nil, nil
	}
	if spec.Type != bson.TypeEmbeddedDocument {
		return "", "", nil, mongoerr.New(16990, "$out only supports a string or object argument, but found %s", typeName(spec))
	}
	str := []bson.Type{bson.TypeString}
	raw, err := typedArgs("$out", spec.Value, fieldTypes{"db": str, "coll": str, "timeseries": {bson.TypeEmbeddedDocument}}, "db", "coll")
	if err != nil {
		return "", "", nil, err
	}
	if t, given := raw["timeseries"]; given {
		if err := checkTimeseries(t.Value); err != nil {
			return "", "", nil, err
		}
		series = t.Value
	}
	return raw["db"].StringValue(), raw["coll"].StringValue(), series, nil
}

// maxBucketSeconds is the longest span of a bucket of a time-series collection.
const maxBucketSeconds = 31536000

func checkTimeseries(spec bson.Raw) error {
	str := []bson.Type{bson.TypeString}
	raw, err := typedArgs("$out.timeseries", spec, fieldTypes{
		"timeField": str, "metaField": str, "granularity": str, "bucketMaxSpanSeconds": numbers, "bucketRoundingSeconds": numbers,
	}, "timeField")
	if err != nil {
		return err
	}
	if g, given := raw["granularity"]; given {
		switch s := g.StringValue(); s {
		case "seconds", "minutes", "hours":
		default:
			return mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field '$out.timeseries.granularity' is not a valid value.", s)
		}
	}
	for _, k := range []string{"bucketMaxSpanSeconds", "bucketRoundingSeconds"} {
		v, given := raw[k]
		if n, ok := number.Int(v); given && (!ok || n < 1 || n > maxBucketSeconds) {
			return mongoerr.New(mongoerr.BadValue, "BSON field '$out.timeseries.%s' value must be >= 1 and <= %d, actual value '%s'", k, maxBucketSeconds, showMissing(v))
		}
	}
	return nil
}
