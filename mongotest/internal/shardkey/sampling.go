package shardkey

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Sampling is what configureQueryAnalyzer is asked: whether and how many of the
// queries on a collection are sampled.
type Sampling struct {
	NS        string
	mode      string
	perSecond float64 // 0 if mode is off
}

// mostPerSecond is the highest rate of samples.
const mostPerSecond = 50

// ParseSampling reads a configureQueryAnalyzer command.
func ParseSampling(cmd bson.Raw) (Sampling, error) {
	bad := func(format string, args ...any) error {
		return mongoerr.New(mongoerr.InvalidOptions, format, args...)
	}
	var s Sampling
	s.NS, _ = cmd.Lookup("configureQueryAnalyzer").StringValueOK()
	s.mode, _ = cmd.Lookup("mode").StringValueOK()
	var given bool
	s.perSecond, given = value.AsFloat64(cmd.Lookup("samplesPerSecond"))
	if err := CheckNamespace(s.NS); err != nil {
		return s, err
	}
	switch off := s.mode == "off"; {
	case off && given:
		return s, bad("Cannot specify 'samplesPerSecond' when 'mode' is \"off\"")
	case off:
		return s, nil
	case !given:
		return s, bad("'samplesPerSecond' must be specified when 'mode' is not \"off\"")
	case !(s.perSecond > 0):
		return s, bad("'samplesPerSecond' must be greater than 0")
	case s.perSecond > mostPerSecond:
		return s, bad("'samplesPerSecond' must be less than or equal to %d", mostPerSecond)
	default:
		return s, nil
	}
}

// Command is the write to config.queryAnalyzers, a findAndModify that returns the
// document as it was: {_id: namespace, collUuid, mode, samplesPerSecond, startTime,
// stopTime}. The start stays as long as the sampling goes on, the stop when it has
// ended already.
func (s Sampling) Command(uuid value.UUID, now time.Time) bson.Raw {
	at := value.DateTime(now.UnixMilli())
	if s.mode == "off" {
		return value.D("findAndModify", "queryAnalyzers", "query", value.D("_id", s.NS, "mode", value.D("$ne", "off")),
			"update", value.A(value.D("$set", value.D("mode", "off", "stopTime", at))))
	}
	goesOn := value.D("$and", value.A(
		value.D("$eq", value.A("$mode", s.mode)),
		value.D("$eq", value.A("$collUuid", uuid.Binary()))))
	set := value.D("collUuid", uuid.Binary(), "mode", s.mode, "samplesPerSecond", s.perSecond,
		"startTime", value.D("$cond", value.A(goesOn, "$startTime", at)))
	return value.D("findAndModify", "queryAnalyzers", "query", value.D("_id", s.NS),
		"update", value.A(value.D("$set", set), value.D("$unset", "stopTime")), "upsert", true)
}

// Reply makes the reply out of that of the write. What is known of a former
// collection of that name does not count.
func (s Sampling) Reply(written bson.Raw, uuid value.UUID) bson.Raw {
	var pairs []any
	if old, ok := written.Lookup("value").DocumentOK(); ok {
		if id, _ := value.ParseUUID(old.Lookup("collUuid")); id == uuid {
			mode, _ := old.Lookup("mode").StringValueOK()
			perSecond, _ := value.AsFloat64(old.Lookup("samplesPerSecond"))
			pairs = append(pairs, "oldConfiguration", configuration(mode, perSecond))
		}
	}
	return value.D(append(pairs, "newConfiguration", configuration(s.mode, s.perSecond))...)
}

func configuration(mode string, perSecond float64) bson.Raw {
	if perSecond == 0 {
		return value.D("mode", mode)
	}
	return value.D("mode", mode, "samplesPerSecond", perSecond)
}

// CheckKind refuses collections that can be neither analyzed nor sampled: by what
// kind of collection it is and by its options, as listCollections gives them; ""
// stands for none.
func CheckKind(kind string, options bson.Raw) error {
	_, encrypted := options.Lookup("encryptedFields").DocumentOK()
	switch {
	case kind == "":
		return mongoerr.New(mongoerr.NamespaceNotFound, "The namespace does not exist")
	case kind == "timeseries":
		return mongoerr.New(mongoerr.IllegalOperation, "Operation not supported for a timeseries collection")
	case kind == "view":
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Operation not supported for a view")
	case encrypted:
		return mongoerr.New(mongoerr.IllegalOperation, "Operation not supported for a collection with queryable encryption enabled")
	default:
		return nil
	}
}
