package aggregate

import (
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var dateOps = map[string]plain{
	"$year":         {1, 1, part("$year", func(t time.Time) int { return t.Year() })},
	"$month":        {1, 1, part("$month", func(t time.Time) int { return int(t.Month()) })},
	"$dayOfMonth":   {1, 1, part("$dayOfMonth", time.Time.Day)},
	"$hour":         {1, 1, part("$hour", time.Time.Hour)},
	"$minute":       {1, 1, part("$minute", time.Time.Minute)},
	"$second":       {1, 1, part("$second", time.Time.Second)},
	"$millisecond":  {1, 1, part("$millisecond", func(t time.Time) int { return t.Nanosecond() / 1e6 })},
	"$dayOfYear":    {1, 1, part("$dayOfYear", time.Time.YearDay)},
	"$dayOfWeek":    {1, 1, part("$dayOfWeek", func(t time.Time) int { return int(t.Weekday()) + 1 })},
	"$isoDayOfWeek": {1, 1, part("$isoDayOfWeek", isoDay)},
	"$week":         {1, 1, part("$week", func(t time.Time) int { return (t.YearDay() + 6 - int(t.Weekday())) / 7 })},
	"$isoWeek":      {1, 1, part("$isoWeek", func(t time.Time) int { _, w := t.ISOWeek(); return w })},
	"$isoWeekYear":  {1, 1, part("$isoWeekYear", func(t time.Time) int { y, _ := t.ISOWeek(); return y })},
	"$tsSecond":     {1, 1, timestampPart("$tsSecond", func(t, _ uint32) uint32 { return t })},
	"$tsIncrement":  {1, 1, timestampPart("$tsIncrement", func(_, i uint32) uint32 { return i })},
}

var dateNamedOps = map[string]named{
	"$dateToString":   {[]string{"date"}, []string{"format", "timezone", "onNull"}, dateToString},
	"$dateFromString": {[]string{"dateString"}, []string{"format", "timezone", "onError", "onNull"}, dateFromString},
	"$dateFromParts":  {nil, []string{"year", "month", "day", "isoWeekYear", "isoWeek", "isoDayOfWeek", "hour", "minute", "second", "millisecond", "timezone"}, dateFromParts},
	"$dateToParts":    {[]string{"date"}, []string{"timezone", "iso8601"}, dateToParts},
	"$dateAdd":        {[]string{"startDate", "unit", "amount"}, []string{"timezone"}, dateShift("$dateAdd", 1)},
	"$dateSubtract":   {[]string{"startDate", "unit", "amount"}, []string{"timezone"}, dateShift("$dateSubtract", -1)},
	"$dateDiff":       {[]string{"startDate", "endDate", "unit"}, []string{"timezone", "startOfWeek"}, dateDiff},
	"$dateTrunc":      {[]string{"date", "unit"}, []string{"timezone", "binSize", "startOfWeek"}, dateTrunc},
}

// anyNullArg reports whether one of the operands that were given is null.
func anyNullArg(args map[string]bson.RawValue, names ...string) bool {
	for _, n := range names {
		if v, given := args[n]; given && nullish(v) {
			return true
		}
	}
	return false
}

func isoDay(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

// moment reads a date, a timestamp or the time in an ObjectId.
func moment(name string, v bson.RawValue) (time.Time, error) {
	switch v.Type {
	case bson.TypeDateTime:
		return time.UnixMilli(v.DateTime()).UTC(), nil
	case bson.TypeTimestamp:
		t, _ := v.Timestamp()
		return time.Unix(int64(t), 0).UTC(), nil
	case bson.TypeObjectID:
		return v.ObjectID().Timestamp().UTC(), nil
	default:
		return time.Time{}, mongoerr.New(16006, "can't convert from BSON type %s to Date (in %s)", rawdoc.TypeName(v.Type), name)
	}
}

// part makes an operator of a function of a date, given bare or as
// {date, timezone}.
func part(name string, f func(time.Time) int) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		v, zone, err := dateAndZone(name, args[0])
		if err != nil {
			return v, err
		}
		t, err := moment(name, v)
		switch {
		case nullish(v) || zone.Type != 0 && nullish(zone):
			return value.Null(), nil
		case err != nil:
			return v, err
		}
		loc, err := location(zone)
		if err != nil {
			return v, err
		}
		n := f(t.In(loc))
		if name == "$isoWeekYear" {
			return value.Int64(int64(n)), nil
		}
		return value.Int32(int32(n)), nil
	}
}

func dateAndZone(name string, v bson.RawValue) (date, zone bson.RawValue, err error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return v, zone, nil
	}
	for k, x := range value.Elements(v.Value) {
		switch k {
		case "date":
			date = x
		case "timezone":
			zone = x
		default:
			return v, zone, mongoerr.New(40535, "unrecognized option to %s: \"%s\"", name, k)
		}
	}
	return date, zone, nil
}

func timestampPart(name string, f func(t, i uint32) uint32) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		if nullish(args[0]) {
			return value.Null(), nil
		}
		if args[0].Type != bson.TypeTimestamp {
			return args[0], mongoerr.New(5687301, "Argument to %s must be a timestamp, but is %s", name, rawdoc.TypeName(args[0].Type))
		}
		return value.Int64(int64(f(args[0].Timestamp()))), nil
	}
}

// location reads a timezone: an Olson name or an offset such as +03:30.
func location(v bson.RawValue) (*time.Location, error) {
	s, ok := v.StringValueOK()
	if v.Type == 0 || s == "UTC" || s == "GMT" || s == "Z" {
		return time.UTC, nil
	}
	if !ok {
		return nil, mongoerr.New(40517, "timezone must evaluate to a string, found %s", typeName(v))
	}
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits := strings.ReplaceAll(s[1:], ":", "")
		if n, err := strconv.Atoi(digits); err == nil && (len(digits) == 2 || len(digits) == 4) {
			if len(digits) == 2 {
				n *= 100
			}
			secs := n/100*3600 + n%100*60
			if s[0] == '-' {
				secs = -secs
			}
			return time.FixedZone(s, secs), nil
		}
	}
	if loc, err := time.LoadLocation(s); s != "" && s != "Local" && err == nil {
		return loc, nil
	}
	return nil, mongoerr.New(40485, "unrecognized time zone identifier: \"%s\"", s)
}

// dateFormat is what $dateToString writes without a format in UTC.
const dateFormat = "%Y-%m-%dT%H:%M:%S.%LZ"

func dateToString(args map[string]bson.RawValue) (bson.RawValue, error) {
	if nullish(args["date"]) {
		if onNull, ok := args["onNull"]; ok {
			return onNull, nil
		}
		return value.Null(), nil
	}
	if anyNullArg(args, "timezone") {
		return value.Null(), nil
	}
	t, err := moment("$dateToString", args["date"])
	if err != nil {
		return args["date"], err
	}
	loc, err := location(args["timezone"])
	if err != nil {
		return args["timezone"], err
	}
	format := dateFormat
	if loc != time.UTC {
		format = "%Y-%m-%dT%H:%M:%S.%L"
	}
	if f, given := args["format"]; given {
		if nullish(f) {
			return value.Null(), nil
		}
		var ok bool
		if format, ok = f.StringValueOK(); !ok {
			return f, mongoerr.New(18533, "$dateToString requires that 'format' be a string, found: %s", rawdoc.TypeName(f.Type))
		}
	}
	s, err := formatTime(t.In(loc), format)
	return value.String(s), err
}

func dateFromString(args map[string]bson.RawValue) (bson.RawValue, error) {
	in := args["dateString"]
	if nullish(in) {
		if v, ok := args["onNull"]; ok {
			return v, nil
		}
		return value.Null(), nil
	}
	if f, given := args["format"]; given && !nullish(f) && f.Type != bson.TypeString {
		return f, mongoerr.New(40684, "$dateFromString requires that 'format' be a string, found: %s with value %s", typeName(f), rawdoc.Render(f))
	}
	if anyNullArg(args, "format", "timezone") {
		return value.Null(), nil
	}
	var ms int64
	loc, err := location(args["timezone"])
	if err != nil {
		return in, err
	}
	s, ok := in.StringValueOK()
	if !ok {
		err = mongoerr.New(conversionFailure, "$dateFromString requires that 'dateString' be a string, found: %s", rawdoc.TypeName(in.Type))
	} else {
		format, _ := args["format"].StringValueOK()
		ms, err = parseDate(s, format, loc)
	}
	if v, given := args["onError"]; err != nil && given {
		return v, nil
	}
	return value.DateTime(ms), err
}
