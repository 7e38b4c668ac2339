package update_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// doc reads relaxed extended JSON.
func doc(t testing.TB, json string) bson.Raw {
	t.Helper()
	var d bson.D
	require.NoError(t, bson.UnmarshalExtJSON([]byte(json), false, &d), json)
	raw, err := bson.Marshal(d)
	require.NoError(t, err)
	return raw
}

// val reads the value of any type that a JSON text stands for.
func val(t testing.TB, json string) bson.RawValue {
	t.Helper()
	v, _ := value.Get(doc(t, `{"v":`+json+`}`), "v")
	return v
}

func show(d bson.Raw) string {
	if d == nil {
		return "nil"
	}
	return d.String()
}

func clock() time.Time { return time.UnixMilli(1700000000123) }

// rule is one line of a table: an update, and the document before and after it
// or the error.
type rule struct {
	name, pre, update, post string
	code                    mongoerr.Code
	msg                     string
	filters                 []string
	idx                     int // position the query matched, plus one
}

func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			o := update.Options{Now: clock}
			for _, f := range r.filters {
				o.ArrayFilters = append(o.ArrayFilters, doc(t, f))
			}
			pre := doc(t, r.pre)
			before := append(bson.Raw(nil), pre...)
			u, err := update.Compile(val(t, r.update), o)
			var got bson.Raw
			if err == nil {
				got, err = u.Apply(pre, r.idx-1)
			}
			if r.code != 0 {
				require.Error(t, err, "got %s", show(got))
				assert.Equal(t, r.code, mongoerr.From(err).Code, err)
				if r.msg != "" {
					assert.Equal(t, r.msg, mongoerr.From(err).Message)
				}
				return
			}
			require.NoError(t, err)
			assert.Equal(t, show(doc(t, r.post)), show(got))
			require.NoError(t, value.Validate(got))
			assert.Equal(t, before, pre, "the document handed in is untouched")
		})
	}
}

func TestFieldOperators(t *testing.T) {
	check(t, []rule{
		{name: "set replaces in place", pre: `{"_id":1,"a":1,"b":2}`, update: `{"$set":{"a":"x"}}`, post: `{"_id":1,"a":"x","b":2}`},
		{name: "set of new fields goes by name", pre: `{"_id":1}`, update: `{"$set":{"c":1,"a":2,"b":3}}`, post: `{"_id":1,"a":2,"b":3,"c":1}`},
		{name: "numeric names go by number", pre: `{"_id":1}`, update: `{"$set":{"10":1,"9":2,"x":3}}`, post: `{"_id":1,"9":2,"10":1,"x":3}`},
		{name: "set creates the path", pre: `{"_id":1}`, update: `{"$set":{"a.b.c":1,"a.b.a":2}}`, post: `{"_id":1,"a":{"b":{"a":2,"c":1}}}`},
		{name: "a numeric component creates a field", pre: `{"_id":1}`, update: `{"$set":{"a.0":1}}`, post: `{"_id":1,"a":{"0":1}}`},
		{name: "set pads an array", pre: `{"_id":1,"a":[1]}`, update: `{"$set":{"a.3":4}}`, post: `{"_id":1,"a":[1,null,null,4]}`},
		{name: "set creates inside an array", pre: `{"_id":1,"a":[]}`, update: `{"$set":{"a.1.b":4}}`, post: `{"_id":1,"a":[null,{"b":4}]}`},
		{name: "a null blocks a path", pre: `{"_id":1,"y":null}`, update: `{"$set":{"y.x":1}}`, code: 28, msg: "Cannot create field 'x' in element {y: null}"},
		{name: "an array takes no names", pre: `{"_id":1,"a":[1]}`, update: `{"$set":{"a.x":1}}`, code: 28},
		{name: "setOnInsert leaves what exists", pre: `{"_id":1}`, update: `{"$setOnInsert":{"a":1}}`, post: `{"_id":1}`},
		{name: "empty operators change nothing", pre: `{"_id":1}`, update: `{"$set":{}}`, post: `{"_id":1}`},
		{name: "a dollar inside a value is stored", pre: `{"_id":1}`, update: `{"$set":{"a":{"$x":1}}}`, post: `{"_id":1,"a":{"$x":1}}`},
		{name: "unset removes", pre: `{"_id":1,"a":{"b":1,"c":2}}`, update: `{"$unset":{"a.b":""}}`, post: `{"_id":1,"a":{"c":2}}`},
		{name: "unset nulls an element", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$unset":{"a.1":""}}`, post: `{"_id":1,"a":[1,null,3]}`},
		{name: "unset passes over a blocked path", pre: `{"_id":1,"a":1}`, update: `{"$unset":{"a.b":"","x.y":""}}`, post: `{"_id":1,"a":1}`},
		{name: "inc adds", pre: `{"_id":1,"a":1}`, update: `{"$inc":{"a":2,"b":3}}`, post: `{"_id":1,"a":3,"b":3}`},
		{name: "inc widens int to long", pre: `{"_id":1,"a":2147483647}`, update: `{"$inc":{"a":1}}`, post: `{"_id":1,"a":{"$numberLong":"2147483648"}}`},
		{name: "inc widens to double", pre: `{"_id":1,"a":1}`, update: `{"$inc":{"a":0.5}}`, post: `{"_id":1,"a":1.5}`},
		{name: "inc by nothing keeps the zero's sign", pre: `{"_id":1,"a":{"$numberDecimal":"-0"}}`, update: `{"$inc":{"a":0}}`, post: `{"_id":1,"a":{"$numberDecimal":"-0"}}`},
		{name: "inc in decimal", pre: `{"_id":1,"a":{"$numberDecimal":"0.1"}}`, update: `{"$inc":{"a":2}}`, post: `{"_id":1,"a":{"$numberDecimal":"2.1"}}`},
		{name: "inc does not overflow a long", pre: `{"_id":1,"a":{"$numberLong":"9223372036854775807"}}`, update: `{"$inc":{"a":1}}`, code: 2},
		{name: "inc wants a number", pre: `{"_id":1}`, update: `{"$inc":{"a":"x"}}`, code: 14, msg: `Cannot increment with non-numeric argument: {a: "x"}`},
		{name: "inc wants a numeric field", pre: `{"_id":1,"a":"s"}`, update: `{"$inc":{"a":1}}`, code: 14, msg: "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'a' of non-numeric type string"},
		{name: "mul multiplies, missing is zero", pre: `{"_id":1,"a":3}`, update: `{"$mul":{"a":2,"b":2.5,"c":2}}`, post: `{"_id":1,"a":6,"b":0.0,"c":0}`},
		{name: "min and max", pre: `{"_id":1,"a":5,"b":5}`, update: `{"$min":{"a":3,"c":1},"$max":{"b":3,"d":"x"}}`, post: `{"_id":1,"a":3,"b":5,"c":1,"d":"x"}`},
		{name: "current date", pre: `{"_id":1}`, update: `{"$currentDate":{"a":true,"b":{"$type":"timestamp"}}}`, post: `{"_id":1,"a":{"$date":{"$numberLong":"1700000000123"}},"b":{"$timestamp":{"t":1700000000,"i":1}}}`},
		{name: "current date wants a type", pre: `{"_id":1}`, update: `{"$currentDate":{"a":1}}`, code: 2},
		{name: "bit", pre: `{"_id":1,"a":13}`, update: `{"$bit":{"a":{"and":10},"b":{"or":5}}}`, post: `{"_id":1,"a":8,"b":5}`},
		{name: "bit wants integers", pre: `{"_id":1,"a":1.5}`, update: `{"$bit":{"a":{"and":10}}}`, code: 2},
		{name: "rename appends", pre: `{"_id":1,"a":1,"b":2}`, update: `{"$rename":{"a":"c"}}`, post: `{"_id":1,"b":2,"c":1}`},
		{name: "rename replaces in place", pre: `{"_id":1,"a":1,"b":2}`, update: `{"$rename":{"b":"a"}}`, post: `{"_id":1,"a":2}`},
		{name: "rename into a new path", pre: `{"_id":1,"a":1}`, update: `{"$rename":{"a":"x.y"}}`, post: `{"_id":1,"x":{"y":1}}`},
		{name: "rename of a missing field", pre: `{"_id":1,"b":1}`, update: `{"$rename":{"a":"b.c"}}`, post: `{"_id":1,"b":1}`},
		{name: "rename through an array", pre: `{"_id":1,"a":[{"b":1}]}`, update: `{"$rename":{"a.0.b":"c"}}`, code: 2},
		{name: "rename to a name with a NUL", pre: `{"_id":1,"a":1}`, update: `{"$rename":{"a":"b\u0000c"}}`, code: 9867600, msg: "The 'to' field for $rename cannot contain an embedded null byte"},
		{name: "rename to the id", pre: `{"_id":1,"a":1}`, update: `{"$rename":{"a":"_id"}}`, code: 66},
		{name: "rename from below a scalar", pre: `{"_id":1,"a":1}`, update: `{"$rename":{"a.b":"c"}}`, code: 28},
		{name: "rename of a missing dollar field", pre: `{"_id":1}`, update: `{"$rename":{"$a":"b"}}`, post: `{"_id":1}`},
		{name: "rename onto itself", pre: `{"_id":1}`, update: `{"$rename":{"a":"a"}}`, code: 2},
	})
}

func TestErrorsOfForm(t *testing.T) {
	check(t, []rule{
		{name: "conflict below", pre: `{}`, update: `{"$set":{"a":1,"a.b":1}}`, code: 40, msg: "Updating the path 'a.b' would create a conflict at 'a'"},
		{name: "conflict above", pre: `{}`, update: `{"$set":{"a.b":1},"$unset":{"a":1}}`, code: 40, msg: "Updating the path 'a' would create a conflict at 'a'"},
		{name: "conflict of rename", pre: `{}`, update: `{"$set":{"a":1},"$rename":{"b":"a"}}`, code: 40},
		{name: "conflict found at run time", pre: `{"_id":1,"a":[1]}`, update: `{"$set":{"a.0":1,"a.$[]":2}}`, code: 40},
		{name: "unknown modifier", pre: `{}`, update: `{"$foo":{"a":1}}`, code: 9, msg: "Unknown modifier: $foo. Expected a valid update modifier or pipeline-style update specified as an array"},
		{name: "a field among modifiers", pre: `{}`, update: `{"$set":{"a":1},"b":1}`, code: 9},
		{name: "modifier of no object", pre: `{}`, update: `{"$set":5}`, code: 9},
		{name: "empty component", pre: `{}`, update: `{"$set":{"a..b":5}}`, code: 56},
		{name: "dollar field at the top", pre: `{"_id":1}`, update: `{"$set":{"$b":5}}`, code: 52, msg: "The dollar ($) prefixed field '$b' in '$b' is not valid for storage."},
		{name: "dollar field below", pre: `{"_id":1}`, update: `{"$set":{"a.$b":5}}`, post: `{"_id":1,"a":{"$b":5}}`},
		{name: "positional on a scalar", pre: `{"_id":1,"a":5}`, update: `{"$set":{"a.$":1}}`, code: 2},
		{name: "an array filter with $expr", pre: `{"_id":1}`, update: `{"$set":{"a.$[x]":1}}`, filters: []string{`{"$expr":{"$gt":["$x",1]}}`}, code: mongoerr.QueryFeatureNotAllowed},
		{name: "id is immutable", pre: `{"_id":1}`, update: `{"$set":{"_id":2}}`, code: 66, msg: "Performing an update on the path '_id' would modify the immutable field '_id'"},
		{name: "id cannot go", pre: `{"_id":1}`, update: `{"$unset":{"_id":2}}`, code: 66},
		{name: "id parts are immutable", pre: `{"_id":{"a":1}}`, update: `{"$set":{"_id.a":2}}`, code: 66, msg: "Performing an update on the path '_id.a' would modify the immutable field '_id'"},
		{name: "the same id is no change", pre: `{"_id":1,"a":1}`, update: `{"$set":{"_id":1,"a":2}}`, post: `{"_id":1,"a":2}`},
		{name: "neither object nor array", pre: `{}`, update: `5`, code: 9},
		{name: "positional without a match", pre: `{"_id":1,"a":[1]}`, update: `{"$set":{"a.$":5}}`, code: 2, msg: "The positional operator did not find the match needed from the query."},
		{name: "positional first", pre: `{}`, update: `{"$set":{"$[].a":5}}`, code: 2},
		{name: "unused filter", pre: `{}`, update: `{"$set":{"a":5}}`, filters: []string{`{"x":1}`}, code: 9},
		{name: "no such filter", pre: `{}`, update: `{"$set":{"a.$[x]":5}}`, code: 2, msg: "No array filter found for identifier 'x' in path 'a.$[x]'"},
		{name: "filter of two names", pre: `{}`, update: `{"$set":{"a.$[x]":5}}`, filters: []string{`{"x":1,"y":2}`}, code: 9},
		{name: "array update of a missing path", pre: `{"_id":1}`, update: `{"$set":{"a.$[]":5}}`, code: 2, msg: "The path 'a' must exist in the document in order to apply array updates."},
		{name: "array update of a scalar", pre: `{"_id":1,"a":5}`, update: `{"$set":{"a.$[]":5}}`, code: 2, msg: "Cannot apply array updates to non-array element a: 5"},
	})
}

func TestPositions(t *testing.T) {
	check(t, []rule{
		{name: "the matched element", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$set":{"a.$":9}}`, idx: 2, post: `{"_id":1,"a":[1,9,3]}`},
		{name: "a field of the matched element", pre: `{"_id":1,"a":[{"b":1},{"b":2}]}`, update: `{"$inc":{"a.$.b":5}}`, idx: 2, post: `{"_id":1,"a":[{"b":1},{"b":7}]}`},
		{name: "all elements", pre: `{"_id":1,"a":[1,2]}`, update: `{"$inc":{"a.$[]":10}}`, post: `{"_id":1,"a":[11,12]}`},
		{name: "filtered elements", pre: `{"_id":1,"a":[{"b":1},{"b":5}]}`, update: `{"$set":{"a.$[x].c":true}}`, filters: []string{`{"x.b":{"$gt":2}}`}, post: `{"_id":1,"a":[{"b":1},{"b":5,"c":true}]}`},
		{name: "filtered scalars", pre: `{"_id":1,"a":[1,5,9]}`, update: `{"$set":{"a.$[x]":0}}`, filters: []string{`{"x":{"$gte":5}}`}, post: `{"_id":1,"a":[1,0,0]}`},
		{name: "nested", pre: `{"_id":1,"a":[{"b":[1,2]},{"b":[3]}]}`, update: `{"$mul":{"a.$[].b.$[x]":2}}`, filters: []string{`{"x":{"$gt":1}}`}, post: `{"_id":1,"a":[{"b":[1,4]},{"b":[6]}]}`},
	})
}

func TestArrayOperators(t *testing.T) {
	check(t, []rule{
		{name: "push appends", pre: `{"_id":1,"a":[1]}`, update: `{"$push":{"a":2,"b":3}}`, post: `{"_id":1,"a":[1,2],"b":[3]}`},
		{name: "push of an array is one element", pre: `{"_id":1,"a":[1]}`, update: `{"$push":{"a":[2,3]}}`, post: `{"_id":1,"a":[1,[2,3]]}`},
		{name: "push each", pre: `{"_id":1,"a":[1]}`, update: `{"$push":{"a":{"$each":[2,3]}}}`, post: `{"_id":1,"a":[1,2,3]}`},
		{name: "push at a position", pre: `{"_id":1,"a":[1,2]}`, update: `{"$push":{"a":{"$each":[9],"$position":1}}}`, post: `{"_id":1,"a":[1,9,2]}`},
		{name: "push before the end", pre: `{"_id":1,"a":[1,2]}`, update: `{"$push":{"a":{"$each":[9],"$position":-1}}}`, post: `{"_id":1,"a":[1,9,2]}`},
		{name: "push sorts and slices", pre: `{"_id":1,"a":[3,1]}`, update: `{"$push":{"a":{"$each":[2],"$sort":1,"$slice":2}}}`, post: `{"_id":1,"a":[1,2]}`},
		{name: "push slices from the end", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$push":{"a":{"$each":[4],"$slice":-2}}}`, post: `{"_id":1,"a":[3,4]}`},
		{name: "push sorts by a field", pre: `{"_id":1,"a":[{"x":1},{"x":3}]}`, update: `{"$push":{"a":{"$each":[{"x":2}],"$sort":{"x":-1}}}}`, post: `{"_id":1,"a":[{"x":3},{"x":2},{"x":1}]}`},
		{name: "truncation", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$push":{"a":{"$each":[],"$slice":1}}}`, post: `{"_id":1,"a":[1]}`},
		{name: "truncation to nothing", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$push":{"a":{"$each":[],"$slice":0}}}`, post: `{"_id":1,"a":[]}`},
		{name: "push on a scalar", pre: `{"_id":1,"arr":"s"}`, update: `{"$push":{"arr":1}}`, code: 2, msg: "The field 'arr' must be an array but is of type string in document {_id: 1}"},
		{name: "push with an unknown clause", pre: `{}`, update: `{"$push":{"a":{"$each":[1],"$foo":1}}}`, code: 2},
		{name: "addToSet adds once", pre: `{"_id":1,"a":[1]}`, update: `{"$addToSet":{"a":{"$each":[1.0,2,2]},"b":5}}`, post: `{"_id":1,"a":[1,2],"b":[5]}`},
		{name: "addToSet minds field order", pre: `{"_id":1,"a":[{"x":1,"y":2}]}`, update: `{"$addToSet":{"a":{"y":2,"x":1}}}`, post: `{"_id":1,"a":[{"x":1,"y":2},{"y":2,"x":1}]}`},
		{name: "addToSet on a scalar", pre: `{"_id":1,"a":1}`, update: `{"$addToSet":{"a":1}}`, code: 2},
		{name: "pop last", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$pop":{"a":1,"b":1}}`, post: `{"_id":1,"a":[1,2]}`},
		{name: "pop first", pre: `{"_id":1,"a":[1,2,3]}`, update: `{"$pop":{"a":-1}}`, post: `{"_id":1,"a":[2,3]}`},
		{name: "pop argument", pre: `{"_id":1}`, update: `{"$pop":{"a":2}}`, code: 9, msg: "$pop expects 1 or -1, found: 2"},
		{name: "pop of a scalar", pre: `{"_id":1,"a":1}`, update: `{"$pop":{"a":1}}`, code: 14},
		{name: "pop through an array", pre: `{"_id":1,"a":[{"b":[1]}]}`, update: `{"$pop":{"a.b":1}}`, code: 28},
		{name: "addToSet each of no array", pre: `{"_id":1}`, update: `{"$addToSet":{"a":{"$each":1}}}`, code: 14},
		{name: "push each of no array", pre: `{"_id":1}`, update: `{"$push":{"a":{"$each":1}}}`, code: 2},
		{name: "push sorts by no empty name", pre: `{"_id":1}`, update: `{"$push":{"a":{"$each":[],"$sort":{"a.":1}}}}`, code: 2},
		{name: "pop below a scalar", pre: `{"_id":1,"a":1}`, update: `{"$pop":{"a.b":1}}`, code: 28},
		{name: "pull by value", pre: `{"_id":1,"a":[1,2,1]}`, update: `{"$pull":{"a":1,"b":1}}`, post: `{"_id":1,"a":[2]}`},
		{name: "pull by condition", pre: `{"_id":1,"a":[1,5,9]}`, update: `{"$pull":{"a":{"$gte":5}}}`, post: `{"_id":1,"a":[1]}`},
		{name: "pull by query", pre: `{"_id":1,"a":[{"x":1,"y":1},{"x":2},3]}`, update: `{"$pull":{"a":{"x":1}}}`, post: `{"_id":1,"a":[{"x":2},3]}`},
		{name: "pull by logic", pre: `{"_id":1,"a":[{"x":1},{"y":2},{"z":3}]}`, update: `{"$pull":{"a":{"$or":[{"x":1},{"y":2}]}}}`, post: `{"_id":1,"a":[{"z":3}]}`},
		{name: "pull of a scalar", pre: `{"_id":1,"a":1}`, update: `{"$pull":{"a":1}}`, code: 2, msg: "Cannot apply $pull to a non-array value"},
		{name: "pullAll", pre: `{"_id":1,"a":[1,2,3,1]}`, update: `{"$pullAll":{"a":[1,3]}}`, post: `{"_id":1,"a":[2]}`},
		{name: "pullAll argument", pre: `{}`, update: `{"$pullAll":{"a":1}}`, code: 2},
	})
}

func TestReplacement(t *testing.T) {
	check(t, []rule{
		{name: "keeps the id", pre: `{"_id":1,"a":1}`, update: `{"b":2}`, post: `{"_id":1,"b":2}`},
		{name: "puts the id first", pre: `{"_id":1,"a":1}`, update: `{"b":2,"_id":1}`, post: `{"_id":1,"b":2}`},
		{name: "may be empty", pre: `{"_id":1,"a":1}`, update: `{}`, post: `{"_id":1}`},
		{name: "cannot change the id", pre: `{"_id":1}`, update: `{"_id":2}`, code: 66, msg: "After applying the update, the (immutable) field '_id' was found to have been altered to _id: 2"},
		{name: "has no operators", pre: `{"_id":1}`, update: `{"a":1,"$set":{}}`, code: 52},
		{name: "fills an empty timestamp", pre: `{"_id":1}`, update: `{"a":{"$timestamp":{"t":0,"i":0}}}`, post: `{"_id":1,"a":{"$timestamp":{"t":1700000000,"i":1}}}`},
		{name: "keeps a nested empty timestamp", pre: `{"_id":1}`, update: `{"a":{"b":{"$timestamp":{"t":0,"i":0}}}}`, post: `{"_id":1,"a":{"b":{"$timestamp":{"t":0,"i":0}}}}`},
	})
}

func TestPipelineUpdates(t *testing.T) {
	check(t, []rule{
		{name: "set merges documents", pre: `{"_id":1,"a":{"x":1}}`, update: `[{"$set":{"a":{"y":2},"s":{"$add":["$a.x",1]}}}]`, post: `{"_id":1,"a":{"x":1,"y":2},"s":2}`},
		{name: "a literal replaces", pre: `{"_id":1,"a":{"x":1}}`, update: `[{"$set":{"a":{"$literal":{"$y":2}}}}]`, post: `{"_id":1,"a":{"$y":2}}`},
		{name: "a whole document", pre: `{"_id":1,"a":1}`, update: `[{"$replaceWith":{"$literal":{"_id":1,"$x":"$y","a.b":2}}}]`, post: `{"_id":1,"$x":"$y","a.b":2}`},
		{name: "a whole document keeps its id", pre: `{"_id":1,"a":1}`, update: `[{"$replaceWith":{"$literal":{"b":2}}}]`, post: `{"_id":1,"b":2}`},
		{name: "setField with a dot", pre: `{"_id":1}`, update: `[{"$replaceWith":{"$setField":{"field":"a.b","input":"$$ROOT","value":{"$literal":5}}}}]`, post: `{"_id":1,"a.b":5}`},
		{name: "setField with a dollar", pre: `{"_id":1,"$x":1}`, update: `[{"$replaceWith":{"$setField":{"field":{"$literal":"$x"},"input":"$$ROOT","value":7}}}]`, post: `{"_id":1,"$x":7}`},
		{name: "unsetField", pre: `{"_id":1,"a.b":1,"c":2}`, update: `[{"$replaceWith":{"$unsetField":{"field":"a.b","input":"$$ROOT"}}}]`, post: `{"_id":1,"c":2}`},
		{name: "unset", pre: `{"_id":1,"a":1,"b":{"c":1,"d":2}}`, update: `[{"$unset":["a","b.c"]}]`, post: `{"_id":1,"b":{"d":2}}`},
		{name: "the id stays", pre: `{"_id":1}`, update: `[{"$set":{"_id":2}}]`, code: 66},
		{name: "no other stages", pre: `{"_id":1}`, update: `[{"$match":{}}]`, code: 72},
		{name: "no unknown stages", pre: `{"_id":1}`, update: `[{"$foo":{}}]`, code: 40324},
	})
}

func TestKinds(t *testing.T) {
	for json, want := range map[string]update.Kind{`{"$set":{"a":1}}`: update.Operators, `{"a":1}`: update.Replacement, `{}`: update.Replacement, `[]`: update.Pipeline} {
		u, err := update.Compile(val(t, json), update.Options{})
		require.NoError(t, err)
		assert.Equal(t, want, u.Kind(), json)
		assert.Equal(t, want == update.Replacement, u.IsReplacement())
	}
}

func TestUpserts(t *testing.T) {
	for _, tt := range []struct{ name, query, update, want string }{
		{"equalities and setOnInsert", `{"_id":7,"a":1,"b":{"$gt":2}}`, `{"$set":{"c":3},"$setOnInsert":{"d":4}}`, `{"_id":7,"a":1,"c":3,"d":4}`},
		{"dotted equalities", `{"a.b":1,"a.c":{"$eq":2},"_id":1}`, `{"$inc":{"n":1}}`, `{"_id":1,"a":{"b":1,"c":2},"n":1}`},
		{"single $in and nested $and", `{"$and":[{"_id":{"$in":[3]}},{"x":"y"}]}`, `{"$set":{"x":"z"}}`, `{"_id":3,"x":"z"}`},
		{"a replacement takes the id only", `{"_id":5,"a":1}`, `{"b":2}`, `{"_id":5,"b":2}`},
		{"a dollar field", `{"_id":1}`, `{"$setOnInsert":{"$x":1}}`, `{"_id":1,"$x":1}`},
		{"an id that is a document", `{"_id":{"$eq":{"$x":1}}}`, `[{"$set":{"b":{"$literal":1}}}]`, `{"_id":{"$x":1},"b":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := update.Compile(val(t, tt.update), update.Options{Upsert: true, Query: doc(t, tt.query)})
			require.NoError(t, err)
			got, err := u.Apply(nil, -1)
			require.NoError(t, err)
			assert.Equal(t, show(doc(t, tt.want)), show(got))
		})
	}
	t.Run("an id is made", func(t *testing.T) {
		u, err := update.Compile(val(t, `{"$set":{"a":1}}`), update.Options{Upsert: true, Query: doc(t, `{"b":1}`)})
		require.NoError(t, err)
		got, err := u.Apply(nil, -1)
		require.NoError(t, err)
		assert.Equal(t, bson.TypeObjectID, got.Lookup("_id").Type)
		assert.Equal(t, "_id", got.Index(0).Key())
	})
	t.Run("the query's id holds", func(t *testing.T) {
		u, err := update.Compile(val(t, `{"$set":{"_id":2}}`), update.Options{Upsert: true, Query: doc(t, `{"_id":1}`)})
		require.NoError(t, err)
		_, err = u.Apply(nil, -1)
		assert.True(t, mongoerr.Is(err, mongoerr.ImmutableField))
	})
	t.Run("two values for one path", func(t *testing.T) {
		_, err := update.UpsertBase(doc(t, `{"$and":[{"a":1},{"a":2}]}`))
		assert.True(t, mongoerr.Is(err, mongoerr.NotSingleValueField))
	})
}
