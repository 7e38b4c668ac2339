package rawdoc

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// First returns the first element of doc; it is not ok when doc is empty.
func First(doc []byte) (name string, v bson.RawValue, ok bool) {
	for k, v := range value.Elements(doc) {
		return k, v, true
	}
	return "", bson.RawValue{}, false
}

// Len counts the elements of a document or array.
func Len(doc []byte) int {
	n := 0
	for range value.Elements(doc) {
		n++
	}
	return n
}

// Values returns the elements of an array without their names.
func Values(arr []byte) []bson.RawValue {
	var out []bson.RawValue
	for _, v := range value.Elements(arr) {
		out = append(out, v)
	}
	return out
}

// IsIndex reports whether a path component has the form of an array index:
// digits without a leading zero.
func IsIndex(s string) bool {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
