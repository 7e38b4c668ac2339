package failpoint

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A mode says how often a fail point fires. The zero value is off.
type mode struct {
	left   int     // times it still fires; negative is forever
	skip   int     // matching passes to let through first
	random bool    // only with a probability
	odds   float64 // of that
}

func (m *mode) off() bool { return m.left == 0 }

// pass counts one occasion and reports whether the fail point fires then.
func (m *mode) pass(random func() float64) bool {
	switch {
	case m.random && random() >= m.odds:
		return false
	case m.skip > 0:
		m.skip--
		return false
	case m.left > 0:
		m.left--
	}
	return true
}

// parseMode reads "off", "alwaysOn", {times: n}, {skip: n} or
// {activationProbability: p}, with the codes of util/fail_point.cpp.
func parseMode(v bson.RawValue) (mode, error) {
	if v.Type == 0 {
		return mode{}, mongoerr.New(mongoerr.IllegalOperation, "When setting a failpoint, you must supply a 'mode'")
	}
	if s, ok := v.StringValueOK(); ok {
		switch s {
		case "off":
			return mode{}, nil
		case "alwaysOn":
			return mode{left: -1}, nil
		}
		return mode{}, mongoerr.New(mongoerr.BadValue, "unknown mode: %s", s)
	}
	doc, ok := v.DocumentOK()
	if !ok {
		return mode{}, mongoerr.New(mongoerr.TypeMismatch, "'mode' must be a string or JSON object")
	}
	if v := doc.Lookup("times"); v.Type != 0 {
		n, err := parseCount("times", v)
		return mode{left: n}, err
	}
	if v := doc.Lookup("skip"); v.Type != 0 {
		n, err := parseCount("skip", v)
		return mode{left: -1, skip: n}, err
	}
	if v := doc.Lookup("activationProbability"); v.Type != 0 {
		return parseOdds(v)
	}
	return mode{}, mongoerr.New(mongoerr.BadValue, "'mode' must be one of 'off', 'alwaysOn', '{times:n}', '{skip:n}' or '{activationProbability:p}'")
}

func parseCount(name string, v bson.RawValue) (int, error) {
	n, ok := value.AsInt64(v)
	switch {
	case !ok:
		return 0, mongoerr.New(mongoerr.TypeMismatch, "Expected field \"%s\" to have numeric type, but found %s", name, value.TypeName(v.Type))
	case n < 0:
		return 0, mongoerr.New(mongoerr.BadValue, "'%s' option to 'mode' must be positive", name)
	case n > math.MaxInt32:
		return 0, mongoerr.New(mongoerr.BadValue, "'%s' option to 'mode' is too large", name)
	}
	return int(n), nil
}

func parseOdds(v bson.RawValue) (mode, error) {
	odds, ok := value.AsFloat64(v)
	if !ok {
		return mode{}, mongoerr.New(mongoerr.TypeMismatch, "the 'activationProbability' option to 'mode' must be a double between 0 and 1")
	}
	if odds < 0 || odds > 1 || math.IsNaN(odds) {
		return mode{}, mongoerr.New(mongoerr.BadValue, "activationProbability must be between 0.0 and 1.0; found %v", odds)
	}
	return mode{left: -1, random: true, odds: odds}, nil
}
