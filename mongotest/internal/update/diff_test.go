package update_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestDiffFollowsTheGrammar(t *testing.T) {
	const long = `"pad":"0123456789012345678901234567890123456789012345678901234567890123456789"`
	for _, tt := range []struct{ name, pre, post, diff string }{
		{"update", `{"_id":1,"a":1,` + long + `}`, `{"_id":1,"a":2,` + long + `}`, `{"u":{"a":2}}`},
		{"insert", `{"_id":1,` + long + `}`, `{"_id":1,` + long + `,"a":2}`, `{"i":{"a":2}}`},
		{"delete", `{"_id":1,"a":1,` + long + `}`, `{"_id":1,` + long + `}`, `{"d":{"a":false}}`},
		{"all sections in order", `{"_id":1,"d":1,"u":1,"s":{` + long + `}}`, `{"_id":1,"u":2,"s":{` + long + `,"x":1},"i":3}`, `{"d":{"d":false},"u":{"u":2},"i":{"i":3},"ss":{"i":{"x":1}}}`},
		{"a moved field is inserted", `{"_id":1,"a":1,` + long + `}`, `{"_id":1,` + long + `,"a":1}`, `{"i":{"a":1}}`},
		{"array", `{"_id":1,"a":[1,2,{` + long + `}]}`, `{"_id":1,"a":[1,5,{` + long + `,"x":1},7]}`, `{"sa":{"a":true,"u1":5,"s2":{"i":{"x":1}},"u3":7}}`},
		{"truncation", `{"_id":1,"a":[1,2,3,4,5,6,7,8]}`, `{"_id":1,"a":[1,9,3,4,5,6]}`, `{"sa":{"a":true,"l":6,"u1":9}}`},
		{"a small value is written whole", `{"_id":1,"a":{"x":1},` + long + `}`, `{"_id":1,"a":{"x":2},` + long + `}`, `{"u":{"a":{"x":2}}}`},
		{"another type of number is a change", `{"_id":1,"a":1,` + long + `}`, `{"_id":1,"a":1.0,` + long + `}`, `{"u":{"a":1.0}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pre, post := doc(t, tt.pre), doc(t, tt.post)
			d, ok := update.DiffAnySize(pre, post)
			require.True(t, ok)
			assert.Equal(t, show(doc(t, tt.diff)), show(d))
			got, err := update.ApplyDiff(pre, d)
			require.NoError(t, err)
			assert.Equal(t, post, got)
		})
	}
}

// The diff of operators says what they did, not what is shortest.
func TestOperatorsAreLoggedAlongTheirPaths(t *testing.T) {
	for _, tt := range []struct{ name, pre, u, diff string }{
		{"a field inside", `{"_id":1,"a":{"x":1}}`, `{"$set":{"a.x":2}}`, `{"sa":{"u":{"x":2}}}`},
		{"a numeric field inside", `{"_id":1,"a":{"1":1}}`, `{"$set":{"a.1":2}}`, `{"sa":{"u":{"1":2}}}`},
		{"the whole document", `{"_id":1,"a":{"x":1,"y":"0123456789012345678901234567890123456789"}}`, `{"$set":{"a":{"x":2,"y":"0123456789012345678901234567890123456789"}}}`, `{"u":{"a":{"x":2,"y":"0123456789012345678901234567890123456789"}}}`},
		{"an element of an array", `{"_id":1,"a":[{"1":1}]}`, `{"$set":{"a.0.1":2}}`, `{"sa":{"a":true,"s0":{"u":{"1":2}}}}`},
		{"all elements", `{"_id":1,"a":[{"x":1},{"x":1}]}`, `{"$set":{"a.$[].x":2}}`, `{"sa":{"a":true,"s0":{"u":{"x":2}},"s1":{"u":{"x":2}}}}`},
		{"a push", `{"_id":1,"a":[1]}`, `{"$push":{"a":2}}`, `{"sa":{"a":true,"u1":2}}`},
		{"a pull", `{"_id":1,"a":[1,2]}`, `{"$pull":{"a":1}}`, `{"u":{"a":[2]}}`},
		{"two operators", `{"_id":1,"a":{"x":1,"y":1},"b":1}`, `{"$set":{"a.x":2},"$inc":{"b":1}}`, `{"u":{"b":2},"sa":{"u":{"x":2}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := update.Compile(val(t, tt.u), update.Options{})
			require.NoError(t, err)
			pre := doc(t, tt.pre)
			post, err := u.Apply(pre, -1)
			require.NoError(t, err)
			d, ok := u.LogDiff(pre, post)
			require.True(t, ok)
			assert.Equal(t, show(doc(t, tt.diff)), show(d))
		})
	}
}

func TestDiffLosesToASmallDocument(t *testing.T) {
	pre, post := doc(t, `{"_id":1,"a":1}`), doc(t, `{"_id":1,"a":2}`)
	_, ok := update.Diff(pre, post)
	assert.False(t, ok, "the whole document is smaller")
	_, ok = update.DiffAnySize(pre, post)
	assert.True(t, ok)

	for u, want := range map[string]bool{`{"$set":{"a":2}}`: true, `{"_id":1,"a":2}`: false, `[{"$set":{"a":2}}]`: false} {
		c, err := update.Compile(val(t, u), update.Options{})
		require.NoError(t, err)
		_, ok := c.LogDiff(pre, post)
		assert.Equal(t, want, ok, u)
	}
}

func TestApplyDiffIsLenientAboutTheDocument(t *testing.T) {
	for _, tt := range []struct{ name, pre, diff, post string }{
		{"update of a missing field", `{"_id":1}`, `{"u":{"a":1}}`, `{"_id":1,"a":1}`},
		{"insert of a field that is there moves it", `{"_id":1,"a":1,"b":2}`, `{"i":{"a":3}}`, `{"_id":1,"b":2,"a":3}`},
		{"delete of a missing field", `{"_id":1}`, `{"d":{"a":false}}`, `{"_id":1}`},
		{"sub-diff of another type", `{"_id":1,"a":5}`, `{"sa":{"u":{"x":1}}}`, `{"_id":1,"a":5}`},
		{"array diff of a document", `{"_id":1,"a":{}}`, `{"sa":{"a":true,"u0":1}}`, `{"_id":1,"a":{}}`},
		{"element beyond the end", `{"_id":1,"a":[1]}`, `{"sa":{"a":true,"u3":1}}`, `{"_id":1,"a":[1,null,null,1]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := update.ApplyDiff(doc(t, tt.pre), doc(t, tt.diff))
			require.NoError(t, err)
			assert.Equal(t, show(doc(t, tt.post)), show(got))
		})
	}
	for _, bad := range []string{`{"x":{}}`, `{"u":1}`, `{"a":true}`, `{"sa":{"a":true,"q1":2}}`, `{"sa":{"a":true,"l":-1}}`, `{"sa":{"a":true,"u01":1}}`} {
		_, err := update.ApplyDiff(doc(t, `{"a":[1]}`), doc(t, bad))
		assert.Error(t, err, bad)
	}
}

func TestDescribeDiff(t *testing.T) {
	for _, tt := range []struct{ name, diff, want string }{
		{"plain", `{"d":{"x":false},"u":{"a":1},"i":{"b":2}}`, `{"updatedFields":{"a":1,"b":2},"removedFields":["x"],"truncatedArrays":[],"disambiguatedPaths":{}}`},
		{"nested", `{"sa":{"d":{"x":false},"sb":{"u":{"c":1}}}}`, `{"updatedFields":{"a.b.c":1},"removedFields":["a.x"],"truncatedArrays":[],"disambiguatedPaths":{}}`},
		{"array", `{"sa":{"a":true,"l":3,"u0":9,"s1":{"u":{"b":1}}}}`, `{"updatedFields":{"a.0":9,"a.1.b":1},"removedFields":[],"truncatedArrays":[{"field":"a","newSize":3}],"disambiguatedPaths":{}}`},
		{"numeric names in an array", `{"sarrayWithNumericField":{"a":true,"s0":{"a":true,"s0":{"u":{"1":7}}}}}`, `{"updatedFields":{"arrayWithNumericField.0.0.1":7},"removedFields":[],"truncatedArrays":[],"disambiguatedPaths":{"arrayWithNumericField.0.0.1":["arrayWithNumericField",0,0,"1"]}}`},
		{"a leading number is clear", `{"u":{"0":1},"s1":{"d":{"a":false}}}`, `{"updatedFields":{"0":1},"removedFields":["1.a"],"truncatedArrays":[],"disambiguatedPaths":{}}`},
		{"a dot is not", `{"u":{"a.b":1},"sc.":{"i":{"d":1}}}`, `{"updatedFields":{"a.b":1,"c..d":1},"removedFields":[],"truncatedArrays":[],"disambiguatedPaths":{"a.b":["a.b"],"c..d":["c.","d"]}}`},
		{"truncation below a number", `{"sa":{"s0":{"a":true,"l":1}}}`, `{"updatedFields":{},"removedFields":[],"truncatedArrays":[{"field":"a.0","newSize":1}],"disambiguatedPaths":{"a.0":["a","0"]}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, show(doc(t, tt.want)), show(update.DescribeDiff(doc(t, tt.diff), true)))
			_, err := update.DescribeDiff(doc(t, tt.diff), false).LookupErr("disambiguatedPaths")
			assert.Error(t, err)
		})
	}
}

// genValue draws a value with nested documents and arrays.
func genValue(depth int) *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		top := 5
		if depth == 0 {
			top = 3
		}
		switch rapid.IntRange(0, top).Draw(t, "kind") {
		case 0:
			return value.Int32(rapid.Int32Range(0, 3).Draw(t, "int"))
		case 1:
			return value.Double(float64(rapid.IntRange(0, 2).Draw(t, "double")))
		case 2:
			return value.String(rapid.StringN(0, 40, 40).Draw(t, "string"))
		case 3:
			return value.Null()
		case 4:
			return value.Doc(genDoc(depth-1).Draw(t, "doc"))
		default:
			return value.ArrayOf(rapid.SliceOfN(genValue(depth-1), 0, 6).Draw(t, "array")...)
		}
	})
}

func genDoc(depth int) *rapid.Generator[bson.Raw] {
	return rapid.Custom(func(t *rapid.T) bson.Raw {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"_id", "a", "b", "c", "d", "u", "i", "s", "0", "1", "a.b", "$x", ""}), 0, 8, rapid.ID[string]).Draw(t, "names")
		var d []any
		for _, n := range names {
			d = append(d, n, genValue(depth).Draw(t, n))
		}
		return value.D(d...)
	})
}

// genEdit draws a document near another: some fields dropped, changed, moved.
func genEdit(pre bson.Raw, depth int) *rapid.Generator[bson.Raw] {
	return rapid.Custom(func(t *rapid.T) bson.Raw {
		var d, tail []any
		seen := map[string]bool{}
		for k, v := range value.Elements(pre) {
			seen[k] = true
			switch rapid.IntRange(0, 5).Draw(t, "edit") {
			case 0:
			case 1:
				d = append(d, k, genValue(1).Draw(t, "new"))
			case 2:
				tail = append(tail, k, v)
			default:
				d = append(d, k, editValue(t, v, depth))
			}
		}
		d = append(d, tail...)
		if n := "n" + strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "more")); !seen[n] {
			d = append(d, n, genValue(1).Draw(t, "more"))
		}
		return value.D(d...)
	})
}

func editValue(t *rapid.T, v bson.RawValue, depth int) bson.RawValue {
	switch {
	case depth == 0 || rapid.Bool().Draw(t, "same"):
		return v
	case v.Type == bson.TypeEmbeddedDocument:
		return value.Doc(genEdit(v.Value, depth-1).Draw(t, "inner"))
	case v.Type == bson.TypeArray:
		var vals []bson.RawValue
		for _, e := range value.Elements(v.Value) {
			vals = append(vals, editValue(t, e, depth-1))
		}
		n := rapid.IntRange(0, len(vals)).Draw(t, "keep")
		return value.ArrayOf(append(vals[:n:n], rapid.SliceOfN(genValue(0), 0, 2).Draw(t, "push")...)...)
	}
	return v
}

func TestApplyingADiffGivesThePostImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pre := genDoc(3).Draw(t, "pre")
		post := genEdit(pre, 3).Draw(t, "post")
		if rapid.Bool().Draw(t, "unrelated") {
			post = genDoc(3).Draw(t, "post")
		}
		d, ok := update.DiffAnySize(pre, post)
		if !ok {
			t.Fatalf("documents without duplicate names always have a diff: %v -> %v", pre, post)
		}
		got, err := update.ApplyDiff(pre, d)
		if err != nil || string(got) != string(post) {
			t.Fatalf("got %v, %v; want %v by %v", got, err, post, d)
		}
		again, err := update.ApplyDiff(got, d)
		if err == nil {
			err = value.Validate(again)
		}
		if err != nil {
			t.Fatalf("applying twice: %v", err)
		}
		if err := value.Validate(update.DescribeDiff(d, true)); err != nil {
			t.Fatalf("description: %v", err)
		}
		if small, ok := update.Diff(pre, post); ok && len(small) >= len(post) {
			t.Fatalf("a diff of %d bytes for a document of %d", len(small), len(post))
		}
	})
}

func TestDuplicateNamesAreLoggedInFull(t *testing.T) {
	pre := value.D("a", int32(1), "a", int32(2), "pad", "0123456789012345678901234567890123456789")
	post := value.D("a", int32(1), "a", int32(3), "pad", "0123456789012345678901234567890123456789")
	_, ok := update.Diff(pre, post)
	assert.False(t, ok)
}
