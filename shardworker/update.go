package shardworker

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

// maxStages keeps an update pipeline well below the server's limit of 1000.
const maxStages = 200

// An updateSpec is the updateDescription of an event.
//
// It becomes an update statement only where that gives the source's bytes:
//   - classic operators ($set, $unset, $push with $slice) keep the place of
//     existing fields and append new ones in lexicographic order. They are used
//     when, under each parent, the fields that are set are listed in that order
//     already, so that it does not matter which of them are new;
//   - otherwise a pipeline with one $set stage per field keeps the listed order;
//     it knows no array positions, so every path must be plain;
//   - whatever is left (ambiguous, dotted or dollar names, sets below a truncated
//     array, reordered fields of array elements) is read again from the source.
type updateSpec struct {
	set       []pathValue
	unset     []string
	truncated []pathValue // value: the new size
	ambiguous bool
}

type pathValue struct {
	path  string
	value bson.RawValue
}

func parseUpdate(desc bson.Raw) updateSpec {
	var u updateSpec
	disambiguated := false
	eachField(desc, func(name string, v bson.RawValue) {
		doc := bson.Raw(v.Value)
		switch name {
		case "updatedFields":
			eachField(doc, func(path string, v bson.RawValue) { u.set = append(u.set, pathValue{path, v}) })
		case "removedFields":
			eachField(doc, func(_ string, v bson.RawValue) {
				path, _ := v.StringValueOK()
				u.unset = append(u.unset, path)
			})
		case "truncatedArrays":
			eachField(doc, func(_ string, v bson.RawValue) {
				f, _ := v.DocumentOK()
				path, _ := f.Lookup("field").StringValueOK()
				u.truncated = append(u.truncated, pathValue{path, f.Lookup("newSize")})
			})
		case "disambiguatedPaths":
			disambiguated = true
			eachField(doc, func(string, bson.RawValue) { u.ambiguous = true })
		}
	})
	for _, path := range u.paths() {
		if strings.Contains(path, ".") && !disambiguated {
			u.ambiguous = true // a server before 6.1 does not say which dots are part of names
		}
	}
	return u
}

func (u updateSpec) paths() []string {
	paths := append([]string{}, u.unset...)
	for _, s := range u.set {
		paths = append(paths, s.path)
	}
	for _, s := range u.truncated {
		paths = append(paths, s.path)
	}
	return paths
}

// statement returns the u of an update statement, false if the document has to
// be read again.
func (u updateSpec) statement() (bson.RawValue, bool) {
	paths := u.paths()
	if u.ambiguous || len(paths) == 0 {
		return bson.RawValue{}, false
	}
	plain := len(u.truncated) == 0
	for _, path := range paths {
		for i, part := range strings.Split(path, ".") {
			if part == "" || part[0] == '$' {
				return bson.RawValue{}, false
			}
			plain = plain && (i == 0 || !numeric(part))
		}
	}
	switch {
	case u.setsBelowTruncated():
		return bson.RawValue{}, false
	case u.setsInOrder():
		return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: u.classic()}, true
	case plain && len(u.set) < maxStages:
		return bson.RawValue{Type: bson.TypeArray, Value: u.pipeline()}, true
	}
	return bson.RawValue{}, false
}

func (u updateSpec) setsBelowTruncated() bool {
	for _, t := range u.truncated {
		for _, path := range u.paths() {
			if strings.HasPrefix(path, t.path+".") {
				return true
			}
		}
	}
	return false
}

// setsInOrder reports whether the server's order of new fields cannot differ
// from the listed one.
func (u updateSpec) setsInOrder() bool {
	last := map[string]string{} // parent: the leaf set last
	for _, s := range u.set {
		at := strings.LastIndexByte(s.path, '.')
		parent, leaf := "", s.path
		if at >= 0 {
			parent, leaf = s.path[:at], s.path[at+1:]
			if numeric(leaf) {
				continue // an array element has no order but its index
			}
		}
		before, more := last[parent]
		if more && (numeric(before) || numeric(leaf) || before >= leaf) {
			return false
		}
		last[parent] = leaf
	}
	return true
}

func (u updateSpec) classic() bson.Raw {
	return build(func(dst []byte) []byte {
		if len(u.set) > 0 {
			i, open := bsoncore.AppendDocumentElementStart(dst, "$set")
			for _, s := range u.set {
				open = keyhash.AppendElement(open, s.path, s.value)
			}
			dst = closeDocument(open, i)
		}
		if len(u.unset) > 0 {
			i, open := bsoncore.AppendDocumentElementStart(dst, "$unset")
			for _, path := range u.unset {
				open = bsoncore.AppendStringElement(open, path, "")
			}
			dst = closeDocument(open, i)
		}
		if len(u.truncated) > 0 {
			i, open := bsoncore.AppendDocumentElementStart(dst, "$push")
			for _, t := range u.truncated {
				open = bsoncore.AppendDocumentElement(open, t.path, build(func(dst []byte) []byte {
					dst = bsoncore.AppendArrayElement(dst, "$each", build(func(dst []byte) []byte { return dst }))
					return keyhash.AppendElement(dst, "$slice", t.value)
				}))
			}
			dst = closeDocument(open, i)
		}
		return dst
	})
}

// pipeline gives [{$unset: [...]}, {$set: {path: {$literal: v}}}, ...].
func (u updateSpec) pipeline() bson.Raw {
	return build(func(dst []byte) []byte {
		n := 0
		stage := func(op string, t bsoncore.Type, value []byte) {
			dst = bsoncore.AppendDocumentElement(dst, strconv.Itoa(n), build(func(dst []byte) []byte {
				return append(bsoncore.AppendHeader(dst, t, op), value...)
			}))
			n++
		}
		if len(u.unset) > 0 {
			stage("$unset", bsoncore.TypeArray, build(func(dst []byte) []byte {
				for i, path := range u.unset {
					dst = bsoncore.AppendStringElement(dst, strconv.Itoa(i), path)
				}
				return dst
			}))
		}
		for _, s := range u.set {
			stage("$set", bsoncore.TypeEmbeddedDocument, build(func(dst []byte) []byte {
				return bsoncore.AppendDocumentElement(dst, s.path, literal(s.value))
			}))
		}
		return dst
	})
}

func literal(v bson.RawValue) bson.Raw {
	return build(func(dst []byte) []byte { return keyhash.AppendElement(dst, "$literal", v) })
}

func numeric(part string) bool {
	for _, c := range []byte(part) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return part != ""
}

// touches reports whether the update changes a field of the document's key, on
// either cluster, which may move the document. An _id never changes.
func (u updateSpec) touches(coll *shardferry.Collection, key bson.Raw) bool {
	touched := false
	paths := u.paths()
	look := func(name string, _ bson.RawValue) {
		for _, path := range paths {
			touched = touched || path == name || strings.HasPrefix(path, name+".") || strings.HasPrefix(name, path+".")
		}
	}
	eachField(coll.ShardKey, look)
	eachField(key, look)
	return touched
}

// moved returns the key of the document after the update, false if the
// description does not tell.
func (u updateSpec) moved(key bson.Raw) (bson.Raw, bool) {
	known := !u.ambiguous
	after := build(func(dst []byte) []byte {
		eachField(key, func(name string, v bson.RawValue) {
			if name != "_id" {
				for _, path := range u.unset {
					if path == name || strings.HasPrefix(name, path+".") {
						v = bson.RawValue{}
					}
				}
				for _, s := range u.set {
					switch {
					case s.path == name:
						v = s.value
					case strings.HasPrefix(name, s.path+"."):
						parent, _ := s.value.DocumentOK()
						v, _ = keyhash.Lookup(parent, strings.TrimPrefix(name, s.path+"."))
					}
				}
				for _, path := range u.paths() {
					known = known && !strings.HasPrefix(path, name+".")
				}
			}
			dst = appendOrNull(dst, name, v)
		})
		return dst
	})
	return after, known
}
