package aggregate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// docs reads one document per array element.
func docs(t testing.TB, json string) []bson.Raw {
	t.Helper()
	var out []bson.Raw
	for _, v := range value.Elements(val(t, json).Value) {
		out = append(out, v.Value)
	}
	return out
}

// lines shows documents one below the other.
func lines(ds []bson.Raw) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.String())
	}
	return strings.Join(out, "\n")
}

// store is a database of one: collections by name.
type store map[string][]bson.Raw

func (s store) Open(_ context.Context, _, coll string) (aggregate.Source, error) {
	return aggregate.FromSlice(s[coll]), nil
}

func (s store) Replace(_ context.Context, _, coll string, _ bson.Raw, ds []bson.Raw) error {
	s[coll] = ds
	return nil
}

func (s store) Merge(_ context.Context, _, coll string, on []string, d bson.Raw, decide func(bson.Raw) (bson.Raw, error)) error {
	at := len(s[coll])
	var old bson.Raw
	want, _ := value.Lookup(d, on[0])
	for i, x := range s[coll] {
		if v, ok := value.Lookup(x, on[0]); ok && value.Equal(v, want) {
			at, old = i, x
		}
	}
	stored, err := decide(old)
	switch {
	case err != nil || stored == nil:
		return err
	case old == nil:
		s[coll] = append(s[coll], stored)
	default:
		s[coll][at] = stored
	}
	return nil
}

func run(t *testing.T, s store, in []bson.Raw, pipeline string) ([]bson.Raw, error) {
	t.Helper()
	p, err := aggregate.CompilePipeline(docs(t, pipeline), aggregate.Env{DB: "db", Vars: vars(), Reader: s, Writer: s})
	if err != nil {
		return nil, err
	}
	return aggregate.Collect(t.Context(), p.Run(aggregate.FromSlice(in)))
}

func TestStages(t *testing.T) {
	const abc = `[{"_id":1,"k":"x","n":5},{"_id":2,"k":"y","n":3},{"_id":3,"k":"x","n":1}]`
	for _, tt := range []struct{ name, in, pipeline, want string }{
		{"match", abc, `[{"$match":{"k":"x","n":{"$gt":2}}}]`, `[{"_id":1,"k":"x","n":5}]`},
		{"match by expression", abc, `[{"$match":{"$expr":{"$lt":["$n","$_id"]}}}]`, `[{"_id":3,"k":"x","n":1}]`},
		{"sort, skip, limit", abc, `[{"$sort":{"n":1}},{"$skip":1},{"$limit":1}]`, `[{"_id":2,"k":"y","n":3}]`},
		{"count", abc, `[{"$count":"total"}]`, `[{"total":3}]`},
		{"count of nothing", `[]`, `[{"$count":"total"}]`, `[]`},
		{
			"group", abc, `[{"$group":{"_id":"$k","s":{"$sum":"$n"},"c":{"$count":{}},"a":{"$avg":"$n"},"lo":{"$min":"$n"},"hi":{"$max":"$n"},"f":{"$first":"$_id"},"l":{"$last":"$_id"},"p":{"$push":"$n"}}}]`,
			`[{"_id":"x","s":6,"c":2,"a":3.0,"lo":1,"hi":5,"f":1,"l":3,"p":[5,1]},{"_id":"y","s":3,"c":1,"a":3.0,"lo":3,"hi":3,"f":2,"l":2,"p":[3]}]`,
		},
		{"group of equal numbers", `[{"a":1},{"a":1.0},{"a":{"$numberDecimal":"1.0"}}]`, `[{"$group":{"_id":"$a","n":{"$sum":1}}}]`, `[{"_id":1,"n":3}]`},
		{"group of all", abc, `[{"$group":{"_id":null,"ks":{"$addToSet":"$k"}}}]`, `[{"_id":null,"ks":["x","y"]}]`},
		{"group merging", `[{"o":{"a":1}},{"o":{"b":2}}]`, `[{"$group":{"_id":1,"o":{"$mergeObjects":"$o"}}}]`, `[{"_id":1,"o":{"a":1,"b":2}}]`},
		{"sortByCount", abc, `[{"$sortByCount":"$k"}]`, `[{"_id":"x","count":2},{"_id":"y","count":1}]`},
		{"bucketAuto", `[{"n":1},{"n":2},{"n":3},{"n":4}]`, `[{"$bucketAuto":{"groupBy":"$n","buckets":2}}]`, `[{"_id":{"min":1,"max":3},"count":2},{"_id":{"min":3,"max":4},"count":2}]`},
		{"unwind", `[{"_id":1,"a":[1,2]},{"_id":2,"a":[]},{"_id":3},{"_id":4,"a":7}]`, `[{"$unwind":"$a"}]`, `[{"_id":1,"a":1},{"_id":1,"a":2},{"_id":4,"a":7}]`},
		{
			"unwind preserving", `[{"_id":1,"a":[9]},{"_id":2,"a":[]},{"_id":3}]`, `[{"$unwind":{"path":"$a","preserveNullAndEmptyArrays":true,"includeArrayIndex":"i"}}]`,
			`[{"_id":1,"a":9,"i":{"$numberLong":"0"}},{"_id":2,"i":null},{"_id":3,"i":null}]`,
		},
		{"facet", abc, `[{"$facet":{"n":[{"$count":"c"}],"one":[{"$limit":1},{"$project":{"k":1}}]}}]`, `[{"n":[{"c":3}],"one":[{"_id":1,"k":"x"}]}]`},
		{
			"lookup", `[{"_id":1,"r":10},{"_id":2,"r":[11,12]},{"_id":3}]`, `[{"$lookup":{"from":"other","localField":"r","foreignField":"_id","as":"o"}}]`,
			`[{"_id":1,"r":10,"o":[{"_id":10,"v":"a"}]},{"_id":2,"r":[11,12],"o":[{"_id":11,"v":"b"}]},{"_id":3,"o":[]}]`,
		},
		{"lookup by pipeline", `[{"_id":1,"w":"b"}]`, `[{"$lookup":{"from":"other","let":{"w":"$w"},"pipeline":[{"$match":{"$expr":{"$eq":["$v","$$w"]}}},{"$project":{"_id":0}}],"as":"o"}}]`, `[{"_id":1,"w":"b","o":[{"v":"b"}]}]`},
		{"unionWith", `[{"_id":1}]`, `[{"$unionWith":{"coll":"other","pipeline":[{"$match":{"v":"a"}}]}}]`, `[{"_id":1},{"_id":10,"v":"a"}]`},
		{"replaceRoot", `[{"_id":1,"o":{"a":1}}]`, `[{"$replaceRoot":{"newRoot":"$o"}}]`, `[{"a":1}]`},
		{"project includes in document order", `[{"_id":1,"a":1,"b":2,"c":3}]`, `[{"$project":{"c":1,"a":1}}]`, `[{"_id":1,"a":1,"c":3}]`},
		{"project computes behind", `[{"_id":1,"a":1,"b":2}]`, `[{"$project":{"a":{"$add":["$a",1]},"b":1,"_id":0}}]`, `[{"b":2,"a":2}]`},
		{"project excludes", `[{"_id":1,"a":{"x":1,"y":2},"b":2}]`, `[{"$project":{"a.x":0,"b":0}}]`, `[{"_id":1,"a":{"y":2}}]`},
		{"project goes into arrays", `[{"_id":1,"a":[{"x":1,"y":2},5,{"x":3}]}]`, `[{"$project":{"a.x":1}}]`, `[{"_id":1,"a":[{"x":1},{"x":3}]}]`},
		{"addFields in place and behind", `[{"_id":1,"a":1,"b":2}]`, `[{"$addFields":{"c":3,"a":"$b"}}]`, `[{"_id":1,"a":2,"b":2,"c":3}]`},
		{"addFields below", `[{"_id":1,"a":[{"x":1},{"x":2}],"s":5}]`, `[{"$set":{"a.y":0,"s.t":1}}]`, `[{"_id":1,"a":[{"x":1,"y":0},{"x":2,"y":0}],"s":{"t":1}}]`},
		{"addFields removes", `[{"_id":1,"a":1}]`, `[{"$set":{"a":"$$REMOVE"}}]`, `[{"_id":1}]`},
		{"unset", `[{"_id":1,"a":1,"b":[{"c":1,"d":2}]}]`, `[{"$unset":["a","b.c"]}]`, `[{"_id":1,"b":[{"d":2}]}]`},
		{"documents", `[]`, `[{"$documents":[{"a":1},{"a":2}]}]`, `[{"a":1},{"a":2}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store{"other": docs(t, `[{"_id":10,"v":"a"},{"_id":11,"v":"b"}]`)}
			got, err := run(t, s, docs(t, tt.in), tt.pipeline)
			require.NoError(t, err)
			assert.Equal(t, lines(docs(t, tt.want)), lines(got))
			for _, d := range got {
				require.NoError(t, value.Validate(d))
			}
		})
	}
}

func TestSampleDrawsDistinctDocuments(t *testing.T) {
	got, err := run(t, nil, docs(t, `[{"_id":1},{"_id":2},{"_id":3}]`), `[{"$sample":{"size":2}}]`)
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.NotEqual(t, got[0], got[1])
}

func TestWritingStages(t *testing.T) {
	for _, tt := range []struct{ name, stage, want string }{
		{"out replaces all", `{"$out":"t"}`, `[{"_id":1,"a":1},{"_id":3,"a":3}]`},
		{"merge merges and inserts", `{"$merge":{"into":"t"}}`, `[{"_id":1,"b":9,"a":1},{"_id":2},{"_id":3,"a":3}]`},
		{"merge replaces or discards", `{"$merge":{"into":"t","whenMatched":"replace","whenNotMatched":"discard"}}`, `[{"_id":1,"a":1},{"_id":2}]`},
		{"merge keeps", `{"$merge":{"into":{"db":"d","coll":"t"},"on":"_id","whenMatched":"keepExisting"}}`, `[{"_id":1,"b":9},{"_id":2},{"_id":3,"a":3}]`},
		{"merge by pipeline", `{"$merge":{"into":"t","whenMatched":[{"$set":{"sum":{"$add":["$b","$$new.a"]}}}]}}`, `[{"_id":1,"b":9,"sum":10},{"_id":2},{"_id":3,"a":3}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store{"t": docs(t, `[{"_id":1,"b":9},{"_id":2}]`)}
			got, err := run(t, s, docs(t, `[{"_id":1,"a":1},{"_id":3,"a":3}]`), `[`+tt.stage+`]`)
			require.NoError(t, err)
			assert.Empty(t, got)
			assert.Equal(t, lines(docs(t, tt.want)), lines(s["t"]))
		})
	}
}

func TestStageErrors(t *testing.T) {
	for _, tt := range []struct {
		pipeline string
		code     mongoerr.Code
	}{
		{`[{"$nope":1}]`, 40324},
		{`[{"$match":{},"$limit":1}]`, 40323},
		{`[{"$limit":0}]`, 15958},
		{`[{"$skip":-1}]`, 5107200},
		{`[{"$project":{}}]`, 51272},
		{`[{"$project":{"a":1,"b":0}}]`, 31254},
		{`[{"$project":{"a":0,"b":1}}]`, 31253},
		{`[{"$set":{"a":1,"a.b":1}}]`, 40176},
		{`[{"$group":{"n":{"$sum":1}}}]`, 15955},
		{`[{"$group":{"_id":1,"n":{"$nope":1}}}]`, 15952},
		{`[{"$unwind":"a"}]`, 28818},
		{`[{"$out":"x"},{"$match":{}}]`, 40601},
		{`[{"$lookup":{"from":"x","as":"y"}}]`, 9},
		{`[{"$merge":{"into":"t","whenNotMatched":"fail"}}]`, 13113},
		{`[{"$replaceWith":"$nope"}]`, 40228},
		{`[{"$sort":{}}]`, 15976},
	} {
		t.Run(tt.pipeline, func(t *testing.T) {
			_, err := run(t, store{}, docs(t, `[{"_id":1}]`), tt.pipeline)
			require.Error(t, err)
			assert.Equal(t, tt.code, mongoerr.From(err).Code, err)
		})
	}
}

func TestSplitRunsOnShardsWhatItMay(t *testing.T) {
	for _, tt := range []struct{ name, in, shard, merge string }{
		{"one-to-one stages", `[{"$match":{}},{"$set":{"a":1}}]`, `[{"$match":{}},{"$set":{"a":1}}]`, `[]`},
		{"group on the router", `[{"$match":{}},{"$group":{"_id":1}},{"$match":{}}]`, `[{"$match":{}}]`, `[{"$group":{"_id":1}},{"$match":{}}]`},
		{"top k", `[{"$sort":{"a":1}},{"$skip":2},{"$limit":3}]`, `[{"$sort":{"a":1}},{"$limit":{"$numberLong":"5"}}]`, `[{"$sort":{"a":1}},{"$skip":2},{"$limit":3}]`},
		{"limit", `[{"$limit":3},{"$count":"n"}]`, `[{"$limit":{"$numberLong":"3"}}]`, `[{"$limit":3},{"$count":"n"}]`},
		{"sort alone", `[{"$sort":{"a":1}}]`, `[]`, `[{"$sort":{"a":1}}]`},
		{"sample", `[{"$sample":{"size":1}}]`, `[{"$sample":{"size":1}}]`, `[{"$sample":{"size":1}}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shard, merge := aggregate.Split(docs(t, tt.in))
			assert.Equal(t, lines(docs(t, tt.shard)), lines(shard))
			assert.Equal(t, lines(docs(t, tt.merge)), lines(merge))
		})
	}
}
