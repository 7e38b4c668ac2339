package shardkey

import (
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The defaults of the server's parameters analyzeShardKey...: how many values are
// listed, how many documents looked at, into how many ranges the documents are
// split with how many samples of each, and how closely the values have to follow
// the order of insertion to be monotonic.
const (
	mostCommon      = 5
	defaultSample   = 10_000_000
	ranges          = 100
	samplesPerRange = 10
	monotonicFrom   = 0.7
)

// A Request is what analyzeShardKey is asked.
type Request struct {
	NS              string
	Key             Pattern
	Characteristics bool // how the values are
	Distribution    bool // how reads and writes would be spread

	rate float64 // of the documents looked at, 0 if not given
	size int64   // the number of them, 0 if not given
}

// ParseRequest reads an analyzeShardKey command.
func ParseRequest(cmd bson.Raw) (Request, error) {
	r := Request{Characteristics: flag(cmd, "keyCharacteristics"), Distribution: flag(cmd, "readWriteDistribution")}
	r.NS, _ = cmd.Lookup("analyzeShardKey").StringValueOK()
	r.rate, _ = value.AsFloat64(cmd.Lookup("sampleRate"))
	r.size, _ = value.AsInt64(cmd.Lookup("sampleSize"))
	raw, _ := cmd.Lookup("key").DocumentOK()
	var err error
	r.Key, err = Parse(raw)
	switch {
	case err != nil:
		return r, err
	case !r.Characteristics && !r.Distribution:
		return r, mongoerr.New(mongoerr.InvalidOptions, "Cannot skip analyzing all metrics")
	case r.rate > 0 && r.size > 0:
		return r, mongoerr.New(mongoerr.InvalidOptions, "Cannot specify both 'sampleRate' and 'sampleSize'")
	}
	return r, CheckNamespace(r.NS)
}

// flag reads a boolean that is true by default.
func flag(cmd bson.Raw, name string) bool {
	b, ok := cmd.Lookup(name).BooleanOK()
	return b || !ok
}

// CheckNamespace refuses the server's own collections.
func CheckNamespace(ns string) error {
	db, coll, _ := strings.Cut(ns, ".")
	switch {
	case db == "" || coll == "":
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s'", ns)
	case db == "admin" || db == "config" || db == "local":
		return mongoerr.New(mongoerr.IllegalOperation, "Cannot run against an internal collection")
	case strings.HasPrefix(coll, "system."):
		return mongoerr.New(mongoerr.IllegalOperation, "Cannot run against a system collection")
	default:
		return nil
	}
}

// sample returns how many of so many documents are looked at.
func (r Request) sample(total int64) int64 {
	switch {
	case r.rate > 0:
		return int64(math.Ceil(r.rate * float64(total)))
	case r.size > 0:
		return min(r.size, total)
	default:
		return min(defaultSample, total)
	}
}

// chosen reports whether the i-th of so many documents, from 0, is looked at. The
// server throws dice; here the sample is as even as can be.
func (r Request) chosen(i, total int64) bool {
	n := r.sample(total)
	return i < total && (i+1)*n/total > i*n/total
}

// NoIndex is the answer if nothing but the characteristics of a key is asked for
// that no index supports.
func NoIndex() error {
	return mongoerr.New(mongoerr.IllegalOperation, "Cannot analyze the characteristics of a shard key that does not have a supporting index")
}

// Empty is the answer about a collection without documents.
func Empty() error {
	return mongoerr.New(mongoerr.IllegalOperation, "Cannot analyze the characteristics of a shard key for an empty collection")
}
