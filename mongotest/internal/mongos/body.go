package mongos

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Fields a router never hands on as it got them: it sets them itself for each
// shard, or they are meant for it alone.
var routerFields = []string{"$clusterTime", "$readPreference", "startTransaction", "stmtId", "stmtIds", "$passthroughToShard", "$_passthroughToShard"}

// edit copies a document without the named fields and appends others.
func edit(doc bson.Raw, drop []string, add ...bson.E) bson.Raw {
	idx, dst := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)+64))
	for name, v := range value.Elements(doc) {
		if !slices.Contains(drop, name) {
			dst = value.Append(dst, name, v)
		}
	}
	if len(add) > 0 {
		dst = append(dst, inner(rawDoc(add))...)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, idx) // the document was started above
	return dst
}

// inner is the elements of a document without its frame.
func inner(doc bson.Raw) []byte { return doc[4 : len(doc)-1] }

// set replaces fields of a document, or appends them.
func set(doc bson.Raw, fields ...bson.E) bson.Raw {
	drop := make([]string, len(fields))
	for i, f := range fields {
		drop[i] = f.Key
	}
	return edit(doc, drop, fields...)
}

func has(doc bson.Raw, field string) bool {
	_, ok := value.Get(doc, field)
	return ok
}

func getDoc(doc bson.Raw, field string) bson.Raw {
	v, _ := value.Get(doc, field)
	d, _ := v.DocumentOK()
	return d
}

func getString(doc bson.Raw, field string) string {
	v, _ := value.Get(doc, field)
	s, _ := v.StringValueOK()
	return s
}

func getBool(doc bson.Raw, field string, missing bool) bool {
	v, ok := value.Get(doc, field)
	if !ok || v.Type == bson.TypeNull {
		return missing
	}
	return value.Truthy(v)
}

// getInt returns a numeric field, or missing.
func getInt(doc bson.Raw, field string, missing int64) int64 {
	v, ok := value.Get(doc, field)
	if !ok {
		return missing
	}
	n, ok := value.AsInt64(v)
	if !ok {
		return missing
	}
	return n
}

// getDocs returns an array of documents.
func getDocs(doc bson.Raw, field string) []bson.Raw {
	v, _ := value.Get(doc, field)
	return docsOf(v)
}

func docsOf(v bson.RawValue) []bson.Raw {
	arr, ok := v.ArrayOK()
	if !ok {
		return nil
	}
	var docs []bson.Raw
	for _, e := range value.Elements(bson.Raw(arr)) {
		if d, ok := e.DocumentOK(); ok {
			docs = append(docs, d)
		}
	}
	return docs
}

// arrayOf is a BSON array of documents.
func arrayOf(docs []bson.Raw) bson.RawValue {
	n := 16
	for _, d := range docs {
		n += len(d) + 8
	}
	idx, dst := bsoncore.AppendArrayStart(make([]byte, 0, n))
	for i, d := range docs {
		dst = bsoncore.AppendDocumentElement(dst, value.IndexName(i), bsoncore.Document(d))
	}
	dst, _ = bsoncore.AppendArrayEnd(dst, idx) // the array was started above
	return bson.RawValue{Type: bson.TypeArray, Value: dst}
}

// firstString returns the string in the command's first field, which must be a
// valid collection name.
func collectionName(req *command.Request) (string, error) {
	v, _ := value.Get(req.Body, req.Name)
	s, ok := v.StringValueOK()
	if !ok {
		return "", mongoerr.New(mongoerr.InvalidNamespace, "collection name has invalid type %s", v.Type)
	}
	if s == "" {
		return "", mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s.'", req.DB)
	}
	return s, nil
}

// fullName returns the "db.collection" in the command's first field, as
// commands on the admin database take it.
func fullName(req *command.Request) (db, coll string, err error) {
	ns := getString(req.Body, req.Name)
	db, coll, ok := splitNS(ns)
	if !ok {
		return "", "", mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s'", ns)
	}
	return db, coll, nil
}

func splitNS(ns string) (db, coll string, ok bool) {
	for i := range ns {
		if ns[i] == '.' {
			return ns[:i], ns[i+1:], i > 0 && i < len(ns)-1
		}
	}
	return "", "", false
}
