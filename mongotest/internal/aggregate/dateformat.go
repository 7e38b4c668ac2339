package aggregate

import (
	"fmt"
	"strings"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// formatTime writes t by the conversion characters of $dateToString.
func formatTime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) {
			return "", mongoerr.New(18535, "Unmatched '%%' at end of format string")
		}
		s, err := formatPart(t, format[i])
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func formatPart(t time.Time, c byte) (string, error) {
	isoYear, isoWeek := t.ISOWeek()
	_, offset := t.Zone()
	two := func(n int) (string, error) { return fmt.Sprintf("%02d", n), nil }
	switch c {
	case 'Y':
		return fmt.Sprintf("%04d", t.Year()), nil
	case 'G':
		return fmt.Sprintf("%04d", isoYear), nil
	case 'm':
		return two(int(t.Month()))
	case 'd':
		return two(t.Day())
	case 'H':
		return two(t.Hour())
	case 'M':
		return two(t.Minute())
	case 'S':
		return two(t.Second())
	case 'L':
		return fmt.Sprintf("%03d", t.Nanosecond()/1e6), nil
	case 'j':
		return fmt.Sprintf("%03d", t.YearDay()), nil
	case 'w':
		return fmt.Sprint(int(t.Weekday()) + 1), nil
	case 'u':
		return fmt.Sprint(isoDay(t)), nil
	case 'U':
		return two((t.YearDay() + 6 - int(t.Weekday())) / 7)
	case 'V':
		return two(isoWeek)
	case 'b':
		return t.Month().String()[:3], nil
	case 'B':
		return t.Month().String(), nil
	case 'z':
		return t.Format("-0700"), nil
	case 'Z':
		return fmt.Sprintf("%+d", offset/60), nil
	case '%':
		return "%", nil
	}
	return "", mongoerr.New(18536, "Invalid format character '%%%c' in format string", c)
}

// layouts of the dates that $toDate and $dateFromString read without a format.
var layouts = []string{
	"2006-01-02T15:04:05.999Z07:00", "2006-01-02T15:04:05.999Z0700", "2006-01-02T15:04:05.999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04:05.999Z07:00", "2006-01-02 15:04:05.999", "2006-01-02",
}

// goLayouts are the conversion characters that have a Go layout of their own.
var goLayouts = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'L': "000", 'z': "-0700", 'b': "Jan", 'B': "January", 'j': "002", '%': "%",
}

// parseDate returns milliseconds since 1970. A nil zone is UTC.
func parseDate(s, format string, zone *time.Location) (int64, error) {
	if zone == nil {
		zone = time.UTC
	}
	tried := layouts
	if format != "" {
		layout, err := goLayout(format)
		if err != nil {
			return 0, err
		}
		tried = []string{layout}
	}
	for _, l := range tried {
		if t, err := time.ParseInLocation(l, s, zone); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, mongoerr.New(conversionFailure, "Error parsing date string '%s'", s)
}

func goLayout(format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		l, ok := goLayouts[format[i]]
		if !ok {
			return "", mongoerr.New(18536, "Invalid format character '%%%c' in format string", format[i])
		}
		b.WriteString(l)
	}
	return b.String(), nil
}
