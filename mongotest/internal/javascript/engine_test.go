package javascript_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/javascript"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func engine() *javascript.Engine { return javascript.New(javascript.Config{Version: "8.0.0"}) }

func call(t *testing.T, code string, args ...any) bson.RawValue {
	t.Helper()
	var in []bson.RawValue
	for _, a := range args {
		in = append(in, value.Of(a))
	}
	v, err := engine().Call(t.Context(), code, in)
	require.NoError(t, err, code)
	return v
}

// A source is a function, an expression, or the body of a function, whose last
// expression is what it returns.
func TestForms(t *testing.T) {
	doc := value.D("x", 5)
	for code, want := range map[string]bool{
		"function() { return this.x == 5 }":                      true,
		"function () { return obj.x == 6; };":                    false,
		"function named() { return obj.x == 5 }":                 true,
		"this.x > 4":                                             true,
		"((this.x > 5))":                                         false,
		"(this.x + 1) == 6;":                                     true,
		"return this.x == 5":                                     true,
		"var y = this.x; y == 5":                                 true,
		"var y = this.x;\n(y) == 6":                              false,
		"if (this.x == 5) { return true } else { return false }": true,
		"if (this.x == 5) true":                                  false, // a statement returns nothing
		"":                                                       false,
		"'a;'":                                                   true,
		"[1, 2].includes(this.x) || !!this.x":                    true,
		"// nothing\nthis.x == 5":                                true,
	} {
		got, err := engine().Test(t.Context(), code, doc)
		require.NoError(t, err, code)
		assert.Equal(t, want, got, code)
	}
}

// Numbers that scripts return are doubles; values that no script has touched,
// and those of types of their own, stay what they are.
func TestValuesBothWays(t *testing.T) {
	id, _ := bson.ObjectIDFromHex("65a0b1c2d3e4f5a6b7c8d9e0")
	dec, _ := bson.ParseDecimal128("1.50")
	all := value.D(
		"double", 1.5, "string", "é", "doc", value.D("a", int32(1)), "bin", value.Binary(0, []byte{1, 2}), "id", id, "bool", true,
		"date", value.DateTime(1234), "null", nil, "regex", value.Regex("a/b", "i"), "int", int32(7), "ts", bson.Timestamp{T: 5, I: 6},
		"long", int64(1)<<60, "dec", dec, "min", value.MinKey(), "max", value.MaxKey(), "ref", value.D("$ref", "c", "$id", int32(1)),
	)
	assert.Equal(t, value.Doc(all), call(t, "function(d) { return d }", all), "untouched")
	for name, v := range value.Elements(all) {
		got := call(t, "function(d, name) { var o = {}; o[name] = d[name]; return o }", all, name)
		want := value.D(name, v)
		if name == "int" {
			want = value.D(name, 7.0)
		}
		if name == "regex" {
			want = value.D(name, value.Regex(`a\/b`, "i")) // as scripts write a slash
		}
		assert.Equal(t, value.Doc(want).String(), got.String(), name)
	}
	assert.Equal(t, value.Double(1), call(t, "1"))
	assert.Equal(t, value.Doc(value.D("_id", 2.0, "a", value.A(1.0, 2.0))), call(t, "function(a) { return {a: a, _id: 2} }", value.A(int32(1), int32(2))))
	assert.Equal(t, value.Null(), call(t, "undefined"))
	assert.Equal(t, value.Int64(5), call(t, "NumberLong(5)"))
	assert.Equal(t, value.Int32(5), call(t, "NumberInt('5')"))
	assert.Equal(t, value.Doc(value.D("int", int32(8), "n", 1.0)), call(t, "function(d) { d.int++; d.n = 1; delete d.x; return d }", value.D("int", int32(7), "x", 1)),
		"an integer that is still whole stays one")
	assert.Equal(t, bson.TypeJavaScript, call(t, "function() { return function() {} }").Type)
}

// Scripts find the helpers of the server's scope.
func TestHelpers(t *testing.T) {
	for code, want := range map[string]any{
		"Array.sum([1, 2, 3])":                                     6.0,
		"Array.avg([1, 2, 3])":                                     2.0,
		"hex_md5('abc')":                                           "900150983cd24fb0d6963f7d28e17f72",
		"isNumber(1) && isString('') && isObject({})":              true,
		"tojson({a: [1, 'x'], b: NumberLong(5)})":                  "{\n\t\"a\" : [\n\t\t1,\n\t\t\"x\"\n\t],\n\t\"b\" : NumberLong(5)\n}",
		"tojsononeline({a: ObjectId('65a0b1c2d3e4f5a6b7c8d9e0')})": `{ "a" : ObjectId("65a0b1c2d3e4f5a6b7c8d9e0") }`,
		"ObjectId('65a0b1c2d3e4f5a6b7c8d9e0').str":                 "65a0b1c2d3e4f5a6b7c8d9e0",
		"'' + NumberLong('9007199254740993')":                      "9007199254740992",
		"NumberLong('9007199254740993').toString()":                `NumberLong("9007199254740993")`,
		"NumberLong(3) + 4":                                        7.0,
		"ISODate('2020-01-02T03:04:05.678+01:00').getTime()":       1577930645678.0,
		"UUID('00112233-4455-6677-8899-aabbccddeeff').hex()":       "00112233445566778899aabbccddeeff",
		"Timestamp(1, 2).t":                                        1.0,
		"version()":                                                "8.0.0",
		"assert(true); assert.eq([1], [1]); 'fine'":                "fine",
		"eval('1 + 1')":                                            2.0,
		"new Function('a', 'return a + 1')(2)":                     3.0,
		"JSON.stringify({a: 1})":                                   `{"a":1}`,
		"var s = ''; for (var k in {a: 1}) s += k; s":              "a",
	} {
		assert.Equal(t, value.Of(want).String(), call(t, code).String(), code)
	}
}

// What goes wrong in a script is JSInterpreterFailure, with the place.
func TestFailures(t *testing.T) {
	for code, want := range map[string]struct {
		code mongoerr.Code
		msg  string
	}{
		"nope + 1":                    {mongoerr.JSInterpreterFailure, "ReferenceError: nope is not defined"},
		"function(":                   {mongoerr.JSInterpreterFailure, "SyntaxError"},
		"throw new Error('mine')":     {mongoerr.JSInterpreterFailure, "Error: mine"},
		"throw 'text'":                {mongoerr.UnknownError, "uncaught exception: text"},
		"assert.eq(1, 2)":             {mongoerr.JSInterpreterFailure, "Error: [1] and [2] are not equal"},
		"function f() { return f() }": {mongoerr.JSInterpreterFailure, ""},
		"var o = {}; o.o = o; o":      {17279, "Exceeded depth limit"},
		"sleep('x')":                  {16259, ""},
		"emit(1)":                     {mongoerr.JSInterpreterFailure, ""},
		"ObjectId('short')":           {mongoerr.BadValue, ""},
		"print":                       {16716, "native function"},
		"({'a\\0b': 1})":              {16985, ""},
		"'x'.repeat(1 << 30)":         {mongoerr.JSInterpreterFailure, "invalid string length"},
		"new ArrayBuffer(1e15)":       {mongoerr.JSInterpreterFailure, ""},
		"eval('['.repeat(1e6))":       {mongoerr.JSInterpreterFailure, "too much recursion"},
		"JSON.parse('['.repeat(1e6))": {mongoerr.JSInterpreterFailure, "too much recursion"},
		strings.Repeat("(", 1e6):      {mongoerr.JSInterpreterFailure, "too much recursion"},
		"(function(){}).constructor('('.repeat(1e6))": {mongoerr.JSInterpreterFailure, "too much recursion"},
	} {
		_, err := engine().Call(t.Context(), code, nil)
		name := code[:min(len(code), 40)]
		require.Error(t, err, name)
		assert.Equal(t, want.code, mongoerr.From(err).Code, "%s: %v", name, err)
		assert.Contains(t, mongoerr.From(err).Message, want.msg, name)
	}
}

// A script that never ends, or sleeps, ends with its operation, and the engine
// goes on with the next.
func TestEndsWithItsOperation(t *testing.T) {
	e := javascript.New(javascript.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, code := range []string{"while (true) {}", "try { while (true) {} } catch (e) { 1 }", "1"} {
		_, err := e.Call(ctx, code, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded, code)
	}
	v, err := e.Call(t.Context(), "2", nil)
	require.NoError(t, err)
	assert.Equal(t, value.Double(2), v)
}

func TestSleepIsVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := javascript.New(javascript.Config{})
		begin := time.Now()
		_, err := e.Call(t.Context(), "sleep(1000)", nil)
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = e.Call(ctx, "try { sleep(1000) } catch (e) {} true", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1100*time.Millisecond, time.Since(begin))
	})
}

// One call may take a minute, whatever the operation may.
func TestCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := javascript.New(javascript.Config{})
		begin := time.Now()
		_, err := e.Call(t.Context(), "sleep(100000)", nil)
		assert.True(t, mongoerr.Is(err, mongoerr.Interrupted), err)
		assert.Equal(t, time.Minute, time.Since(begin))
	})
}

// Memory that grows without end is noticed.
func TestMemory(t *testing.T) {
	e := javascript.New(javascript.Config{MaxHeap: 64 << 20})
	_, err := e.Call(t.Context(), "var a = []; while (true) { a.push('x'.repeat(1 << 20) + a.length) }", nil)
	assert.ErrorContains(t, err, "Out of memory")
}

func TestMapAndScope(t *testing.T) {
	e := javascript.New(javascript.Config{
		Scope: value.D("factor", 10),
		Stored: func() ([]bson.Raw, error) {
			return []bson.Raw{value.D("_id", "times", "value", bson.JavaScript("function(a) { return a * factor }"))}, nil
		},
	})
	var got []bson.RawValue
	emit := func(k, v bson.RawValue) error {
		got = append(got, k, v)
		return nil
	}
	require.NoError(t, e.Map(t.Context(), "function() { emit(this.k, times(this.v)); emit(undefined, null) }", value.D("k", "a", "v", 2), emit))
	assert.Equal(t, value.A(value.String("a"), value.Double(20), value.Null(), value.Null()), value.ArrayOf(got...))
	err := e.Map(t.Context(), "emit(1)", value.D(), emit)
	assert.True(t, mongoerr.Is(err, 31220), err)
}

func BenchmarkTest(b *testing.B) {
	e := javascript.New(javascript.Config{})
	doc := value.D("_id", 1, "x", 5, "y", 10)
	for b.Loop() {
		if ok, err := e.Test(b.Context(), "this.y > this.x", doc); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		e := javascript.New(javascript.Config{})
		if _, err := e.Call(b.Context(), "1", nil); err != nil {
			b.Fatal(err)
		}
	}
}
