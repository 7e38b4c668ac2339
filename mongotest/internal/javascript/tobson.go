package javascript

import (
	"strconv"
	"strings"

	"github.com/dop251/goja"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const (
	maxDepth  = 150      // ObjectWrapper::kMaxWriteFieldDepth
	maxResult = 64 << 20 // BSONObjMaxInternalSize is a little more than 16 MB; parts of results may be dropped again
)

// result converts what a script returns as the server does (ValueWriter):
// numbers are doubles, undefined is null.
func (e *Engine) result(v goja.Value) (bson.RawValue, error) {
	if v == nil || goja.IsUndefined(v) {
		return value.Null(), nil
	}
	w := &writer{e: e}
	if err := w.element("", v, bson.RawValue{}, 0); err != nil {
		return bson.RawValue{}, err
	}
	_, out, _, ok := value.ReadElement(w.buf)
	if !ok {
		return bson.RawValue{}, mongoerr.New(mongoerr.JSInterpreterFailure, "cannot convert %s", v)
	}
	return out, nil
}

// A writer appends converted values to a buffer.
type writer struct {
	e   *Engine
	buf []byte
}

// element appends a field. before is what the field was when it came from BSON:
// a whole number that was a 32-bit integer stays one.
func (w *writer) element(key string, v goja.Value, before bson.RawValue, depth int) error {
	switch {
	case depth > maxDepth:
		return mongoerr.New(17279, "Exceeded depth limit of %d when converting js object to BSON. Do you have a cycle?", maxDepth)
	case strings.IndexByte(key, 0) >= 0:
		return mongoerr.New(16985, "JavaScript property (name) contains a null char which is not allowed in BSON. ")
	case len(w.buf) > maxResult:
		return mongoerr.New(17260, "Converting from JavaScript to BSON failed: Object size %d exceeds limit of %d bytes.", len(w.buf), maxResult)
	}
	if o, ok := v.(*goja.Object); ok {
		return w.object(key, o, depth)
	}
	out, ok := primitive(v, before)
	if !ok {
		return mongoerr.New(16662, "unable to convert JavaScript property to mongo element %s", key)
	}
	w.buf = value.Append(w.buf, key, out)
	return nil
}

func primitive(v goja.Value, before bson.RawValue) (bson.RawValue, bool) {
	if v == nil || goja.IsUndefined(v) {
		return value.Undefined(), true
	}
	if goja.IsNull(v) {
		return value.Null(), true
	}
	switch x := v.Export().(type) {
	case string:
		return value.String(strings.ToValidUTF8(x, "�")), true
	case bool:
		return value.Bool(x), true
	case int64, float64:
		f := v.ToFloat()
		if before.Type == bson.TypeInt32 && float64(int32(f)) == f {
			return value.Int32(int32(f)), true
		}
		return value.Double(f), true
	default:
		return bson.RawValue{}, false
	}
}

func (w *writer) object(key string, o *goja.Object, depth int) error {
	switch x := o.Export().(type) {
	case *document:
		return w.document(key, x, depth)
	case *special:
		w.buf = value.Append(w.buf, key, x.value)
		return nil
	default:
	}
	switch o.ClassName() {
	case "Array":
		return w.array(key, o, depth)
	case "Date":
		f := o.ToFloat()
		ms := int64(0)
		if f == f {
			ms = int64(f)
		}
		w.buf = value.Append(w.buf, key, value.DateTime(ms))
	case "RegExp":
		s := o.String()
		end := strings.LastIndexByte(s, '/')
		pattern := strings.ReplaceAll(s[1:max(end, 1)], `\u002f`, `\/`) // how the engine shows a slash
		w.buf = value.Append(w.buf, key, value.Regex(pattern, s[end+1:]))
	case "Function":
		src := o.String()
		if strings.Contains(src, "[native code]") {
			return mongoerr.New(16716, "cannot convert native function to BSON")
		}
		w.buf = bsoncore.AppendJavaScriptElement(w.buf, key, src)
	default:
		return w.plain(key, o, depth)
	}
	return nil
}

// plain appends an object of the script's own making. An _id of the outermost
// object comes first.
func (w *writer) plain(key string, o *goja.Object, depth int) error {
	start, buf := bsoncore.AppendDocumentElementStart(w.buf, key)
	w.buf = buf
	names := o.Keys()
	if depth == 0 {
		names = idFirst(names)
	}
	for _, name := range names {
		if err := w.element(name, o.Get(name), bson.RawValue{}, depth+1); err != nil {
			return err
		}
	}
	return w.end(start)
}

func idFirst(names []string) []string {
	for i, n := range names {
		if n == "_id" && i > 0 {
			out := append(make([]string, 0, len(names)), n)
			return append(append(out, names[:i]...), names[i+1:]...)
		}
	}
	return names
}

// document appends a document: what no script has touched, as it came.
func (w *writer) document(key string, d *document, depth int) error {
	if len(d.vals) == 0 && !d.all {
		w.buf = value.Append(w.buf, key, value.Doc(d.raw))
		return nil
	}
	start, buf := bsoncore.AppendDocumentElementStart(w.buf, key)
	w.buf = buf
	names := d.Keys()
	if depth == 0 {
		names = idFirst(names)
	}
	for _, name := range names {
		before, _ := value.Get(d.raw, name)
		v, touched := d.vals[name]
		if !touched {
			w.buf = value.Append(w.buf, name, before)
			continue
		}
		if err := w.element(name, v, before, depth+1); err != nil {
			return err
		}
	}
	return w.end(start)
}

func (w *writer) array(key string, o *goja.Object, depth int) error {
	start, buf := bsoncore.AppendArrayElementStart(w.buf, key)
	w.buf = buf
	n := o.Get("length").ToInteger()
	for i := range n {
		name := strconv.FormatInt(i, 10)
		if err := w.element(name, o.Get(name), bson.RawValue{}, depth+1); err != nil {
			return err
		}
	}
	return w.end(start)
}

func (w *writer) end(start int32) error {
	buf, err := bsoncore.AppendDocumentEnd(w.buf, start)
	w.buf = buf
	return err
}
