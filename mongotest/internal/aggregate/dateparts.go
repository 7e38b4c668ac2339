package aggregate

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// datePart is one number that a date is made of, and its default.
type datePart struct {
	name   string
	absent int64
}

var (
	calendarParts = []datePart{{"year", 1970}, {"month", 1}, {"day", 1}}
	isoParts      = []datePart{{"isoWeekYear", 1970}, {"isoWeek", 1}, {"isoDayOfWeek", 1}}
	clockParts    = []datePart{{"hour", 0}, {"minute", 0}, {"second", 0}, {"millisecond", 0}}
)

func given(args map[string]bson.RawValue, parts []datePart) bool {
	for _, p := range parts {
		if _, ok := args[p.name]; ok {
			return true
		}
	}
	return false
}

// readParts reads the numbers of a date; not ok if one is null.
func readParts(args map[string]bson.RawValue, parts []datePart) (vals []int64, ok bool, err error) {
	for _, p := range parts {
		v, has := args[p.name]
		if !has {
			vals = append(vals, p.absent)
			continue
		}
		if nullish(v) {
			return nil, false, nil
		}
		n, whole := number.Exact(v)
		if !whole {
			return nil, false, mongoerr.New(40515, "'%s' must evaluate to an integer, found %s with value %s", p.name, typeName(v), rawdoc.Render(v))
		}
		vals = append(vals, n)
	}
	return vals, true, nil
}

func dateFromParts(args map[string]bson.RawValue) (bson.RawValue, error) {
	days := calendarParts
	if given(args, isoParts) {
		if given(args, calendarParts) {
			return value.Null(), mongoerr.New(40489, "$dateFromParts does not allow mixing ISO dates with natural dates")
		}
		days = isoParts
	}
	if _, has := args[days[0].name]; !has {
		return value.Null(), mongoerr.New(40516, "$dateFromParts requires either 'year' or 'isoWeekYear' to be present")
	}
	day, ok, err := readParts(args, days)
	if err != nil || !ok {
		return value.Null(), err
	}
	clock, ok, err := readParts(args, clockParts)
	if err != nil || !ok || anyNullArg(args, "timezone") {
		return value.Null(), err
	}
	loc, err := location(args["timezone"])
	if err != nil {
		return args["timezone"], err
	}
	if day[0] < 1 || day[0] > 9999 {
		code := mongoerr.Code(40523)
		if days[0].name == "isoWeekYear" {
			code = 31095
		}
		return value.Null(), mongoerr.New(code, "'%s' must evaluate to an integer in the range 1 to 9999, found %d", days[0].name, day[0])
	}
	for i, p := range append(days[1:3:3], clockParts[:2]...) {
		if n := append(day[1:3:3], clock[:2]...)[i]; n < -32768 || n > 32767 {
			return value.Null(), mongoerr.New(31034, "'%s' must evaluate to a value in the range [-32768, 32767]; value %d is not in range", p.name, n)
		}
	}
	start := time.Date(int(day[0]), time.Month(day[1]), int(day[2]), 0, 0, 0, 0, time.UTC)
	if days[0].name == "isoWeekYear" {
		fourth := time.Date(int(day[0]), 1, 4, 0, 0, 0, 0, time.UTC) // always in the first week
		start = fourth.AddDate(0, 0, int((day[1]-1)*7+day[2])-isoDay(fourth))
	}
	t := time.Date(start.Year(), start.Month(), start.Day(), int(clock[0]), int(clock[1]), 0, 0, loc)
	const far = 1 << 50
	if clock[2] > far || clock[2] < -far || clock[3] > far*1000 || clock[3] < -far*1000 {
		return value.Null(), mongoerr.New(mongoerr.DurationOverflow, "the date is out of range")
	}
	return value.DateTime(t.UnixMilli() + clock[2]*1000 + clock[3]), nil
}

func dateToParts(args map[string]bson.RawValue) (bson.RawValue, error) {
	iso, hasISO := args["iso8601"]
	if anyNullArg(args, "date", "timezone", "iso8601") {
		return value.Null(), nil
	}
	if hasISO && iso.Type != bson.TypeBoolean {
		return iso, mongoerr.New(40521, "iso8601 must evaluate to a bool, found %s", typeName(iso))
	}
	t, err := moment("$dateToParts", args["date"])
	if err != nil {
		return args["date"], err
	}
	loc, err := location(args["timezone"])
	if err != nil {
		return args["timezone"], err
	}
	t = t.In(loc)
	clock := []any{"hour", int32(t.Hour()), "minute", int32(t.Minute()), "second", int32(t.Second()), "millisecond", int32(t.Nanosecond() / 1e6)}
	day := []any{"year", int32(t.Year()), "month", int32(t.Month()), "day", int32(t.Day())}
	if hasISO && iso.Boolean() {
		year, week := t.ISOWeek()
		day = []any{"isoWeekYear", int32(year), "isoWeek", int32(week), "isoDayOfWeek", int32(isoDay(t))}
	}
	return value.Doc(value.D(append(day, clock...)...)), nil
}
