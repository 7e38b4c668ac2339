package aggregate

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fixedUnits are the units that last equally long everywhere.
var fixedUnits = map[string]time.Duration{
	"millisecond": time.Millisecond, "second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

// monthUnits are the units that are a number of months.
var monthUnits = map[string]int{"month": 1, "quarter": 3, "year": 12}

func unitOf(v bson.RawValue) (string, error) {
	s, ok := v.StringValueOK()
	if _, fixed := fixedUnits[s]; ok && (fixed || monthUnits[s] > 0) {
		return s, nil
	}
	if !ok {
		return "", mongoerr.New(5439013, "unit requires a string, but got %s", typeName(v))
	}
	return "", mongoerr.New(mongoerr.FailedToParse, "unknown time unit value: %s", s)
}

// wallClock returns t as if its zone were UTC, where all days have 24 hours.
func wallClock(t time.Time, loc *time.Location) time.Time {
	t = t.In(loc)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// fromWallClock undoes wallClock.
func fromWallClock(t time.Time, loc *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
}

func dateShift(name string, dir int64) func(map[string]bson.RawValue) (bson.RawValue, error) {
	return func(args map[string]bson.RawValue) (bson.RawValue, error) {
		if anyNullArg(args, "startDate", "unit", "amount", "timezone") {
			return value.Null(), nil
		}
		t, err := moment(name, args["startDate"])
		if err != nil {
			return args["startDate"], mongoerr.New(5166403, "%s requires startDate to be convertible to a date", name)
		}
		unit, err := unitOf(args["unit"])
		if err != nil {
			return args["unit"], err
		}
		n, ok := number.Exact(args["amount"])
		if !ok || n > 1<<40 || n < -1<<40 {
			return args["amount"], mongoerr.New(5166405, "%s expects integer amount of time units", name)
		}
		loc, err := location(args["timezone"])
		if err != nil {
			return args["timezone"], err
		}
		ms, ok := addUnits(t, unit, n*dir, loc)
		if !ok {
			return args["amount"], mongoerr.New(5166406, "%s overflowed", name)
		}
		return value.DateTime(ms), nil
	}
}

// addUnits moves a moment on the clock of a zone. It is not ok beyond what a
// date can be.
func addUnits(t time.Time, unit string, n int64, loc *time.Location) (ms int64, ok bool) {
	const far = 1 << 53
	if m := monthUnits[unit]; m > 0 {
		if n > far/10_000_000 || n < -far/10_000_000 {
			return 0, false
		}
		return fromWallClock(addMonths(wallClock(t, loc), int(n)*m), loc).UnixMilli(), true
	}
	step := fixedUnits[unit].Milliseconds()
	if n > far*512/step || n < -far*512/step {
		return 0, false
	}
	if unit == "day" || unit == "week" {
		w := time.UnixMilli(wallClock(t, loc).UnixMilli() + step*n).UTC()
		return fromWallClock(w, loc).UnixMilli(), true
	}
	return t.UnixMilli() + step*n, true
}

// addMonths keeps the day unless the month is too short for it.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}
