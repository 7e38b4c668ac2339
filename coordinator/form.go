package coordinator

import (
	"fmt"
	"reflect"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A form is what this program knows of a kind of document: its fields, and of
// those that are documents, or lists of them, their forms. A nil form is anything.
type form map[string]form

var valueUnmarshaler = reflect.TypeFor[bson.ValueUnmarshaler]()

// formOf returns the form of what is decoded into a t.
func formOf(t reflect.Type) form {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return formOf(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	if t == reflect.TypeFor[state.Tasks]() {
		return formOf(reflect.TypeFor[shardferry.CopyTask]())
	}
	if t.PkgPath() == "time" || t == reflect.TypeFor[bson.Timestamp]() || reflect.PointerTo(t).Implements(valueUnmarshaler) {
		return nil
	}
	f := form{}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("bson"), ",")
		if strings.Contains(options, "inline") {
			for name, known := range formOf(field.Type) {
				f[name] = known
			}
			continue
		}
		f[name] = formOf(field.Type)
	}
	return f
}

// check returns ErrNewer if doc has a field that the form does not know.
func (f form) check(doc bson.Raw) error {
	elements, err := doc.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements {
		known, ok := f[e.Key()]
		if !ok {
			return fmt.Errorf("field %s is not known: %w", e.Key(), ErrNewer)
		}
		if known == nil {
			continue
		}
		v := e.Value()
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			err = known.check(v.Document())
		case bson.TypeArray:
			err = known.checkAll(bson.Raw(v.Array()))
		default:
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Key(), err)
		}
	}
	return nil
}

// checkAll checks what stands in an array.
func (f form) checkAll(array bson.Raw) error {
	elements, err := array.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements {
		if doc, ok := e.Value().DocumentOK(); ok {
			if err := f.check(doc); err != nil {
				return err
			}
		}
	}
	return nil
}
