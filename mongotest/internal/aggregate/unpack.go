package aggregate

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
)

// compileUnpackBucket compiles the stage that a time-series collection begins
// with: buckets go in, measurements come out.
func compileUnpackBucket(spec bson.RawValue, _ Env) (stage, error) {
	u, err := timeseries.NewUnpacker(spec)
	if err != nil {
		return nil, err
	}
	return func(in Source) Source {
		var ready []bson.Raw
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			for len(ready) == 0 {
				bucket, err := in.Next(ctx)
				if bucket == nil || err != nil {
					return nil, err
				}
				if ready, err = u.Unpack(bucket); err != nil {
					return nil, err
				}
			}
			doc := ready[0]
			ready = ready[1:]
			return doc, nil
		})
	}, nil
}
