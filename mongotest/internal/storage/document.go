package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// codeUpdateTooLarge is the server's code for an update whose result exceeds
// the size limit.
const codeUpdateTooLarge mongoerr.Code = 17419

// prepareInsert checks a document and returns what the server stores: with an
// _id, which comes first, and with top-level empty timestamps filled in. The
// result is doc itself if nothing is to be changed.
func (tx *Tx) prepareInsert(doc bson.Raw, m Meta) (bson.Raw, error) {
	f, err := inspect(doc)
	if err != nil {
		return nil, err
	}
	if len(doc) > maxDocSize {
		return nil, mongoerr.New(mongoerr.BadValue, "object to insert too large. size in bytes: %d, max size: %d",
			len(doc), maxDocSize)
	}
	if f.idAt < 0 {
		f.id = value.ObjectID(bson.NewObjectID())
	} else if err := checkID(f.id); err != nil {
		return nil, err
	}
	fill := f.emptyTimestamp && !m.KeepEmptyTimestamps
	if f.idAt == 0 && !fill {
		return doc, nil
	}
	return tx.rebuild(doc, f.id, fill), nil
}

// findings are what inspect finds at a document's top level.
type findings struct {
	id             bson.RawValue
	idAt           int // position of _id, -1 if there is none
	emptyTimestamp bool
}

// inspect goes over a document once and without allocating: this is the hot
// path of inserts.
func inspect(doc bson.Raw) (findings, error) {
	f := findings{idAt: -1}
	if !framed(doc) {
		return f, malformed()
	}
	position := 0
	for rest := []byte(doc[4 : len(doc)-1]); len(rest) > 0; position++ {
		key, v, next, ok := value.ReadElement(rest)
		if !ok {
			return f, malformed()
		}
		switch {
		case string(key) == idField && f.idAt >= 0:
			return f, mongoerr.New(mongoerr.BadValue, "can't have multiple _id fields in one document")
		case string(key) == idField:
			f.idAt, f.id = position, v
		case isEmptyTimestamp(v):
			f.emptyTimestamp = true
		}
		rest = next
	}
	return f, nil
}

// rebuild returns doc with the _id first and, if fill, a fresh timestamp for
// every empty one at the top level.
func (tx *Tx) rebuild(doc bson.Raw, id bson.RawValue, fill bool) bson.Raw {
	dst := make([]byte, 4, len(doc)+len(id.Value)+8)
	dst = value.Append(dst, idField, id)
	_ = eachElement(doc, func(key string, v bson.RawValue) error {
		if key == idField {
			return nil
		}
		if fill && isEmptyTimestamp(v) {
			v = value.Timestamp(tx.e.clock.Tick(1))
		}
		dst = value.Append(dst, key, v)
		return nil
	})
	return finishDoc(dst)
}

func isEmptyTimestamp(v bson.RawValue) bool {
	if v.Type != bson.TypeTimestamp {
		return false
	}
	t, i, ok := v.TimestampOK()
	return ok && t == 0 && i == 0
}

// badIDs are the types that cannot be an _id, in the words of the server.
var badIDs = map[bson.Type]string{
	bson.TypeArray:     "array",
	bson.TypeRegex:     "regex",
	bson.TypeUndefined: "undefined",
}

// checkID refuses the values that cannot be an _id.
func checkID(id bson.RawValue) error {
	if kind, bad := badIDs[id.Type]; bad {
		return mongoerr.New(mongoerr.InvalidIDField, "The '_id' value cannot be of type %s", kind)
	}
	if id.Type == bson.TypeEmbeddedDocument {
		return checkIDFields(bson.Raw(id.Value))
	}
	return nil
}

// checkIDFields refuses field names with a dollar sign, except those of a DBRef.
func checkIDFields(id bson.Raw) error {
	return eachElement(id, func(key string, _ bson.RawValue) error {
		if len(key) > 0 && key[0] == '$' && key != "$ref" && key != "$id" && key != "$db" {
			return mongoerr.New(mongoerr.DollarPrefixedFieldName,
				"_id fields may not contain '$'-prefixed fields: %s is not valid for storage.", key)
		}
		return nil
	})
}

// prepareReplace checks the new version of a document, which keeps its _id.
func (tx *Tx) prepareReplace(old, doc bson.Raw) (bson.Raw, error) {
	oldID, _ := value.Get(old, idField)
	id, ok := value.Get(doc, idField)
	if !ok {
		doc = tx.rebuild(doc, oldID, false)
	} else if !value.Equal(id, oldID) {
		return nil, mongoerr.New(mongoerr.ImmutableField, "After applying the update, the (immutable) field '_id' was "+
			"found to have been altered to _id: %s", renderValue(id))
	}
	if len(doc) > maxDocSize {
		return nil, mongoerr.New(codeUpdateTooLarge, "Resulting document after update is larger than %d", maxDocSize)
	}
	return doc, nil
}

// validate applies the collection's validator to doc. A moderate level lets a
// document stay invalid that was so before.
func (tx *Tx) validate(c *Collection, old, doc bson.Raw, m Meta) error {
	v, level, action := c.Validation()
	if v == nil || tx.e.validate == nil || level == "off" || action == "warn" || m.BypassValidation || m.FromMigrate {
		return nil
	}
	ok, info, err := tx.e.validate(v, doc, c.opts.coll)
	if err != nil || ok {
		return err
	}
	if level == "moderate" && old != nil {
		if was, _, err := tx.e.validate(v, old, c.opts.coll); err == nil && !was {
			return nil
		}
	}
	if info == nil {
		info = emptyDoc()
	}
	id, _ := value.Get(doc, idField)
	return mongoerr.New(mongoerr.DocumentValidationFailure, "Document failed validation").
		WithInfo("errInfo", value.D("failingDocumentId", id, "details", info))
}
