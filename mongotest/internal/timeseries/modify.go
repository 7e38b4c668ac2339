package timeseries

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// Modify returns the options after collMod's timeseries document. Buckets only
// ever get longer, so that what is found in them stays true of old ones.
func (o Options) Modify(mod bson.Raw) (Options, error) {
	m, err := read(mod)
	if err != nil {
		return o, err
	}
	invalid := func(why string) (Options, error) { return o, mongoerr.New(mongoerr.InvalidOptions, "%s", why) }
	target := span{rounding: m.Rounding, max: m.MaxSpan}
	switch {
	case m.Granularity == "" && target == span{}:
		return o, nil
	case m.Granularity != "":
		target = spanOf(m.Granularity)
		if m.MaxSpan != 0 && m.MaxSpan != target.max {
			return invalid("Timeseries 'bucketMaxSpanSeconds' is not configurable to a value other than the default for the provided granularity")
		}
		if m.Rounding != 0 {
			return invalid("Timeseries 'bucketRoundingSeconds' is not configurable alongside the granularity parameter")
		}
		if o.Granularity == m.Granularity {
			return o, nil
		}
		if o.Granularity != "" && target.max < o.MaxSpan {
			return invalid("Invalid transition for timeseries.granularity. Can only transition from 'seconds' to 'minutes' or 'minutes' to 'hours'.")
		}
	case target.max == 0 || target.rounding == 0:
		return invalid("Timeseries 'bucketMaxSpanSeconds' and 'bucketRoundingSeconds' need to be set alongside each other")
	case target.max != target.rounding:
		return invalid("Timeseries 'bucketRoundingSeconds' needs to be equal to 'bucketMaxSpanSeconds'")
	}
	switch current := (span{rounding: o.RoundingSeconds(), max: o.MaxSpan}); {
	case current == target:
		return o, nil
	case current.max > target.max:
		return invalid("Timeseries 'bucketMaxSpanSeconds' needs to be equal or greater to transition")
	case current.rounding > target.rounding:
		return invalid("Timeseries 'bucketRoundingSeconds' needs to be equal or greater to transition")
	}
	o.Granularity, o.MaxSpan, o.Rounding = m.Granularity, target.max, 0
	if m.Granularity == "" {
		o.Rounding = target.rounding
	}
	return o, nil
}
