package value

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Lookup returns the value at a dotted path that leads through embedded
// documents only, as shard keys and document keys do. An array on the way ends
// the search.
func Lookup(doc bson.Raw, path string) (bson.RawValue, bool) {
	for {
		name, rest, more := strings.Cut(path, ".")
		v, ok := Get(doc, name)
		if !ok || !more {
			return v, ok
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return bson.RawValue{}, false
		}
		doc, path = bson.Raw(v.Value), rest
	}
}

// LookupAll returns every value that a query's dotted path reaches in doc: an
// array on the way is entered by position if the next name is a number, and
// through each of its documents. An array at the end of the path is returned
// whole. What is missing is not returned.
func LookupAll(doc bson.Raw, path string) []bson.RawValue {
	return lookupAll(nil, doc, path)
}

func lookupAll(dst []bson.RawValue, doc bson.Raw, path string) []bson.RawValue {
	name, rest, more := strings.Cut(path, ".")
	v, ok := Get(doc, name)
	if !ok {
		return dst
	}
	if !more {
		return append(dst, v)
	}
	return lookupInside(dst, v, rest)
}

func lookupInside(dst []bson.RawValue, v bson.RawValue, path string) []bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return lookupAll(dst, bson.Raw(v.Value), path)
	case bson.TypeArray:
	default:
		return dst
	}
	name, rest, more := strings.Cut(path, ".")
	index, numeric := ArrayIndex(name)
	i := 0
	for _, e := range Elements(bson.Raw(v.Value)) {
		if e.Type == bson.TypeEmbeddedDocument {
			dst = lookupAll(dst, bson.Raw(e.Value), path)
		}
		if numeric && i == index {
			if more {
				dst = lookupInside(dst, e, rest)
			} else {
				dst = append(dst, e)
			}
		}
		i++
	}
	return dst
}

// ArrayIndex returns the array position that a path component names: digits
// without a leading zero.
func ArrayIndex(name string) (int, bool) {
	if name == "" || len(name) > 9 || (name[0] == '0' && len(name) > 1) {
		return 0, false
	}
	for _, c := range []byte(name) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	i, err := strconv.Atoi(name)
	return i, err == nil
}
