package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A ScanSpec says what to scan and where to begin.
//
// Min and Max are encoded with Index.Bound, Index.Prefix or Index.Range; nil
// means no bound. A bound covers everything that begins with it: an inclusive
// Max of {a: 5} in an index on {a: 1, b: 1} includes every b.
type ScanSpec struct {
	// Index is the name of the index; "" is the natural order, which of a
	// clustered collection is the order of _id and takes bounds of its _id
	// index. Without one, the natural order takes no bounds.
	Index            string
	Min, Max         []byte
	MinIncl, MaxIncl bool
	// Resume is the position to go on after, in the direction of the scan.
	// Nothing needs to be there any more.
	Resume  Key
	Reverse bool
}

// A Key is a position in a scan. The zero value is before the beginning.
type Key struct {
	Entry string // of the index; empty in natural order
	ID    int64  // record id
}

// Bound encodes a key document such as find's min and max: the fields of the
// key pattern, in order; later ones may be left out. The value of a hashed
// field is the int64 hash itself, as in chunk bounds. Fields of another name
// are refused with BadValue.
func (ix *Index) Bound(key bson.Raw) ([]byte, error) {
	var vals []bson.RawValue
	err := eachElement(key, func(name string, v bson.RawValue) error {
		if len(vals) == len(ix.fields) || ix.fields[len(vals)].name != name {
			return mongoerr.New(mongoerr.BadValue, "requested bound %s does not fit the index key pattern %s",
				render(key), render(ix.Key))
		}
		vals = append(vals, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ix.Prefix(vals...), nil
}

// Prefix encodes values of the key pattern's first fields. The value of a
// hashed field is the int64 hash itself.
func (ix *Index) Prefix(vals ...bson.RawValue) []byte {
	buf := make([]byte, 0, 32)
	for i, v := range vals {
		buf = keystring.Append(buf, ix.coll.Key(v), ix.fields[i].desc)
	}
	return buf
}

// Range returns the scan of the entries whose first fields equal eq and whose
// next field lies between low and high (nil: unbounded), whatever the field's
// direction. There is a next field if low or high is given.
func (ix *Index) Range(eq []bson.RawValue, low, high *bson.RawValue, lowIncl, highIncl bool) ScanSpec {
	s := ScanSpec{Index: ix.Name, MinIncl: true, MaxIncl: true}
	if len(eq) > 0 {
		s.Min = ix.Prefix(eq...)
		s.Max = s.Min
	}
	if low == nil && high == nil {
		return s
	}
	if ix.fields[len(eq)].desc {
		low, high, lowIncl, highIncl = high, low, highIncl, lowIncl
	}
	eq = eq[:len(eq):len(eq)]
	if low != nil {
		s.Min, s.MinIncl = ix.Prefix(append(eq, *low)...), lowIncl
	}
	if high != nil {
		s.Max, s.MaxIncl = ix.Prefix(append(eq, *high)...), highIncl
	}
	return s
}

// The bytes around everything that begins with a bound and goes on with another
// value, the end of the key or the end of the entry. A string that the bound's
// last value is only the beginning of goes on with 0x00 (descending) or 0xff.
const (
	beforeValue = "\x01"
	afterValue  = "\xff"
)

// interval returns the bounds of a scan of ix as [low, high); "" for high means
// no end.
func (s *ScanSpec) interval(ix *Index) (low, high string) {
	before := beforeValue
	if ix.isID() {
		before = "" // ascending, and its entries may end where the bound does
	}
	place := func(bound []byte, below bool) string {
		switch {
		case bound == nil:
			return ""
		case below:
			return string(bound) + before
		}
		return string(bound) + afterValue
	}
	return place(s.Min, s.MinIncl), place(s.Max, !s.MaxIncl)
}
