package javascript

import (
	"slices"

	"github.com/dop251/goja"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A document is a BSON document as scripts see it. Its fields are converted
// when they are asked for; those never touched go back as they came. It
// implements goja.DynamicObject.
type document struct {
	e     *Engine
	raw   bson.Raw
	names []string              // in order, once loaded
	vals  map[string]goja.Value // converted or set
	all   bool                  // names is complete
}

func (e *Engine) document(raw bson.Raw) *goja.Object {
	o := e.vm.NewDynamicObject(&document{e: e, raw: raw})
	if isReference(raw) {
		_ = o.SetPrototype(e.kinds[kindDBRef]) // fails for objects that may not be extended
	}
	return o
}

// isReference reports whether a document has the form of a DBRef.
func isReference(raw bson.Raw) bool {
	i := 0
	for name, v := range value.Elements(raw) {
		if i == 0 && (name != "$ref" || v.Type != bson.TypeString) {
			return false
		}
		if i == 1 {
			return name == "$id"
		}
		i++
	}
	return false
}

// original returns the field as it came. One that was deleted is gone.
func (d *document) original(key string) (bson.RawValue, bool) {
	if d.all && !slices.Contains(d.names, key) {
		return bson.RawValue{}, false
	}
	return value.Get(d.raw, key)
}

// Get implements goja.DynamicObject.
func (d *document) Get(key string) goja.Value {
	if v, ok := d.vals[key]; ok {
		return v
	}
	raw, ok := d.original(key)
	if !ok {
		return nil
	}
	v := d.e.toJS(raw)
	d.keep(key, v)
	return v
}

func (d *document) keep(key string, v goja.Value) {
	if d.vals == nil {
		d.vals = map[string]goja.Value{}
	}
	d.vals[key] = v
}

// Set implements goja.DynamicObject.
func (d *document) Set(key string, v goja.Value) bool {
	d.load()
	if !slices.Contains(d.names, key) {
		d.names = append(d.names, key)
	}
	d.keep(key, v)
	return true
}

// Has implements goja.DynamicObject.
func (d *document) Has(key string) bool {
	if _, ok := d.vals[key]; ok {
		return true
	}
	_, ok := d.original(key)
	return ok
}

// Delete implements goja.DynamicObject.
func (d *document) Delete(key string) bool {
	d.load()
	if i := slices.Index(d.names, key); i >= 0 {
		d.names = slices.Delete(d.names, i, i+1)
		delete(d.vals, key)
	}
	return true
}

// Keys implements goja.DynamicObject.
func (d *document) Keys() []string {
	d.load()
	return slices.Clone(d.names)
}

func (d *document) load() {
	if d.all {
		return
	}
	seen := map[string]bool{}
	for name := range value.Elements(d.raw) {
		if !seen[name] {
			d.names = append(d.names, name)
			seen[name] = true
		}
	}
	d.all = true
}
