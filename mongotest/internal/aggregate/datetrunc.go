package aggregate

import (
	"math"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// calendar counts units of time from the start of 2000, on the clock of a zone.
type calendar struct {
	unit string
	loc  *time.Location
	week time.Weekday // on which weeks begin
}

// readCalendar reads the operands that $dateDiff and $dateTrunc share.
func readCalendar(args map[string]bson.RawValue) (c calendar, err error) {
	if c.unit, err = unitOf(args["unit"]); err != nil {
		return c, err
	}
	if c.loc, err = location(args["timezone"]); err != nil {
		return c, err
	}
	if v, ok := args["startOfWeek"]; ok && c.unit == "week" {
		c.week, err = weekday(v)
	}
	return c, err
}

func weekday(v bson.RawValue) (time.Weekday, error) {
	s, ok := v.StringValueOK()
	if !ok {
		return 0, mongoerr.New(5439015, "startOfWeek requires a string, but got %s", typeName(v))
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if name := strings.ToLower(d.String()); strings.EqualFold(s, name) || strings.EqualFold(s, name[:3]) {
			return d, nil
		}
	}
	return 0, mongoerr.New(5439016, "startOfWeek value '%s' is not a valid day of the week", s)
}

// origin is where the units of fixed length are counted from.
func (c calendar) origin() int64 {
	t := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	if c.unit == "week" {
		t = t.AddDate(0, 0, (int(c.week)-int(t.Weekday())+7)%7)
	}
	return t.UnixMilli()
}

// index numbers the units, so that a difference counts the boundaries between
// two moments.
func (c calendar) index(t time.Time) int64 {
	w := wallClock(t, c.loc)
	if m := monthUnits[c.unit]; m > 0 {
		return floorDiv(int64(w.Year()-2000)*12+int64(w.Month())-1, int64(m))
	}
	return floorDiv(w.UnixMilli()-c.origin(), fixedUnits[c.unit].Milliseconds())
}

// begin is the first moment of a unit.
func (c calendar) begin(n int64) time.Time {
	if m := monthUnits[c.unit]; m > 0 {
		return fromWallClock(time.Date(2000, time.Month(1+n*int64(m)), 1, 0, 0, 0, 0, time.UTC), c.loc)
	}
	return fromWallClock(time.UnixMilli(c.origin()+n*fixedUnits[c.unit].Milliseconds()).UTC(), c.loc)
}

func dateDiff(args map[string]bson.RawValue) (bson.RawValue, error) {
	if anyNullArg(args, "startDate", "endDate", "unit", "timezone") || args["unit"].Type == bson.TypeString && args["unit"].StringValue() == "week" && anyNullArg(args, "startOfWeek") {
		return value.Null(), nil
	}
	c, err := readCalendar(args)
	if err != nil {
		return args["unit"], err
	}
	var at [2]int64
	for i, k := range []string{"startDate", "endDate"} {
		t, err := moment("$dateDiff", args[k])
		if err != nil {
			return args[k], mongoerr.New(5166307, "$dateDiff requires '%s' to be a date, but got %s", k, typeName(args[k]))
		}
		at[i] = c.index(t)
	}
	return value.Int64(at[1] - at[0]), nil
}

func dateTrunc(args map[string]bson.RawValue) (bson.RawValue, error) {
	if anyNullArg(args, "date", "unit", "timezone", "binSize") || args["unit"].Type == bson.TypeString && args["unit"].StringValue() == "week" && anyNullArg(args, "startOfWeek") {
		return value.Null(), nil
	}
	t, err := moment("$dateTrunc", args["date"])
	if err != nil {
		return args["date"], mongoerr.New(5166307, "$dateTrunc requires 'date' to be a date, but got %s", typeName(args["date"]))
	}
	c, err := readCalendar(args)
	if err != nil {
		return args["unit"], err
	}
	bin := int64(1)
	if b, ok := args["binSize"]; ok {
		if bin, err = binSize(b, c.unit); err != nil {
			return b, err
		}
	}
	return value.DateTime(c.begin(floorDiv(c.index(t), bin) * bin).UnixMilli()), nil
}

func binSize(v bson.RawValue, unit string) (int64, error) {
	n, whole := number.Exact(v)
	switch {
	case !whole:
		return 0, mongoerr.New(5439017, "$dateTrunc requires 'binSize' to be a 64-bit integer, but got value of type %s", typeName(v))
	case n <= 0:
		return 0, mongoerr.New(5439018, "$dateTrunc requires 'binSize' to be greater than 0, but got value %d", n)
	}
	if m := monthUnits[unit]; m > 0 {
		if n > math.MaxInt32/int64(m) {
			return 0, mongoerr.New(5439006, "$dateTrunc 'binSize' is too large: %d", n)
		}
	} else if n > 1<<52/fixedUnits[unit].Milliseconds() {
		return 0, mongoerr.New(5439002, "$dateTrunc 'binSize' is too large: %d", n)
	}
	return n, nil
}
