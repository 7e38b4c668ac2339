package shardkey

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Field is one field of a shard key.
type Field struct {
	Path   string
	Hashed bool
}

// A Pattern is a shard key. Its direction never matters.
type Pattern []Field

// Parse reads a shard key such as {a: 1, "b.c": "hashed"}.
func Parse(raw bson.Raw) (Pattern, error) {
	bad := func(format string, args ...any) error { return mongoerr.New(mongoerr.BadValue, format, args...) }
	elems, err := raw.Elements()
	if err != nil || len(elems) == 0 {
		return nil, bad("Shard key %s must contain at least one field", raw)
	}
	var p Pattern
	hashed := 0
	for _, e := range elems {
		v := e.Value()
		f := Field{Path: e.Key()}
		if s, ok := v.StringValueOK(); ok && s == "hashed" {
			f.Hashed = true
			hashed++
		} else if n, ok := value.AsFloat64(v); !ok || n != 1 {
			return nil, bad("Shard key %s can contain either up to one 'hashed' field or be an ascending range over fields", raw)
		}
		if f.Path == "" || strings.HasPrefix(f.Path, ".") || strings.HasSuffix(f.Path, ".") || strings.Contains(f.Path, "..") || strings.HasPrefix(f.Path, "$") {
			return nil, bad("Shard key %s contains an invalid field name", raw)
		}
		p = append(p, f)
	}
	if hashed > 1 {
		return nil, bad("A maximum of one hashed field is allowed but found %d for shard key %s", hashed, raw)
	}
	return p, nil
}

// Names reports whether the fields of an index's key begin with those of p, of
// whatever kind and direction.
func (p Pattern) Names(index bson.Raw) bool {
	i := 0
	for name := range value.Elements(index) {
		if i == len(p) {
			return true
		}
		if name != p[i].Path {
			return false
		}
		i++
	}
	return i == len(p)
}

// Of returns the fields of p that a document has, or all of them, a missing one
// being null, as in an index.
func (p Pattern) Of(doc bson.Raw, all bool) bson.Raw {
	var pairs []any
	for _, f := range p {
		v, ok := value.Lookup(doc, f.Path)
		switch {
		case ok:
			pairs = append(pairs, f.Path, v)
		case all:
			pairs = append(pairs, f.Path, value.Null())
		}
	}
	return value.D(pairs...)
}

// CheckScalar refuses a document with an array in the shard key.
func (p Pattern) CheckScalar(doc bson.Raw) error { return noArrays(p.Of(doc, false)) }

func noArrays(key bson.Raw) error {
	for name, v := range value.Elements(key) {
		if v.Type == bson.TypeArray {
			return mongoerr.New(mongoerr.BadValue, "The shard key contains an array field '%s'", name)
		}
	}
	return nil
}

// Raw is the pattern as a document.
func (p Pattern) Raw() bson.Raw {
	var pairs []any
	for _, f := range p {
		if f.Hashed {
			pairs = append(pairs, f.Path, "hashed")
		} else {
			pairs = append(pairs, f.Path, int32(1))
		}
	}
	return value.D(pairs...)
}
