package query_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

// A comparison holds exactly if the values are of one kind and in that order,
// and whatever matches lies inside the filter's bounds.
func TestComparisonsAgreeWithTheOrderAndTheBounds(t *testing.T) {
	holds := map[string]func(c int) bool{
		"$eq":  func(c int) bool { return c == 0 },
		"$lt":  func(c int) bool { return c < 0 },
		"$lte": func(c int) bool { return c <= 0 },
		"$gt":  func(c int) bool { return c > 0 },
		"$gte": func(c int) bool { return c >= 0 },
	}
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.SampledFrom([]string{"$eq", "$lt", "$lte", "$gt", "$gte"}).Draw(t, "op")
		arg, v := valuetest.Value(1).Draw(t, "arg"), valuetest.Value(1).Draw(t, "v")
		switch arg.Type {
		case bson.TypeRegex, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
			return // refused, or of rules of their own
		default:
		}
		m, err := query.Compile(value.D("a", value.D(op, arg)), query.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ok, err := m.Match(value.D("a", v))
		if err != nil {
			t.Fatal(err)
		}
		if v.Type == bson.TypeArray || arg.Type == bson.TypeArray {
			return // elements match too
		}
		want := value.CanonicalType(v.Type) == value.CanonicalType(arg.Type) && holds[op](value.Compare(v, arg))
		if value.IsNaN(v) != value.IsNaN(arg) {
			want = false
		}
		if ok != want {
			t.Fatalf("%v %s %v is %v", v, op, arg, ok)
		}
		if b, bounded := m.Bounds("a"); ok && bounded && !inside(b, v) {
			t.Fatalf("%v %s %v lies outside of %v", v, op, arg, b)
		}
	})
}

func inside(b query.Bounds, v bson.RawValue) bool {
	if b.Eq != nil {
		for _, e := range b.Eq {
			if value.Equal(e, v) {
				return true
			}
		}
		return false
	}
	if b.Min != nil && (value.Compare(v, *b.Min) < 0 || (value.Equal(v, *b.Min) && !b.MinIncl)) {
		return false
	}
	return b.Max == nil || value.Compare(v, *b.Max) < 0 || (value.Equal(v, *b.Max) && b.MaxIncl)
}

// $in finds what one of its values equals.
func TestInIsAnyEquality(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := valuetest.Number()
		vals := rapid.SliceOfN(plain, 0, 6).Draw(t, "vals")
		v := plain.Draw(t, "v")
		m, err := query.Compile(value.D("a", value.D("$in", vals)), query.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := false
		for _, e := range vals {
			want = want || value.Equal(e, v)
		}
		if got, _ := m.Match(value.D("a", v)); got != want {
			t.Fatalf("%v in %v is %v", v, vals, got)
		}
	})
}

// Excluding nothing that is there, or including all that is there, gives the
// document back.
func TestProjectionsOfEverythingChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := value.D("_id", 1, "a", valuetest.Value(2).Draw(t, "a"), "b", valuetest.Value(2).Draw(t, "b"))
		for _, spec := range []bson.Raw{value.D("a", 1, "b", 1), value.D("other", 0), value.D("a.none.at.all", 0)} {
			p, err := query.CompileProjection(spec, query.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := p.Apply(d, -1); !bytes.Equal(got, d) {
				t.Fatalf("%v makes %v of %v", spec, got, d)
			}
		}
	})
}

// No valid document makes the compilers panic, as a filter, a projection or a
// sort, nor what they compile.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`{"a": {"$elemMatch": {"$gt": 1, "$not": {"$in": [1, null]}}}, "$or": [{"a.0.b": 1}, {"b": {"$all": [1]}}]}`,
		`{"a": {"$bitsAllSet": [1, 70]}, "b": {"$mod": [4, 1]}, "c": {"$regex": "a", "$options": "x"}}`,
		`{"$jsonSchema": {"required": ["a"], "properties": {"a": {"minLength": 1, "items": [{}]}}}}`,
		`{"a": {"$slice": [1, 2]}, "b.c": {"$slice": -1}, "l": {"$elemMatch": {"x": 1}}}`,
		`{"a": 1, "b.$": 1}`, `{"a": -1, "b.0": 1}`,
	} {
		f.Add([]byte(doc(f, s)))
	}
	target := doc(f, `{"_id": 1, "a": [{"b": 1}, 2, [3]], "b": {"c": [1, 2]}, "l": [{"x": 1}], "c": "a"}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = valuetest.Mend(raw)
		if m, err := query.Compile(raw, query.Options{}); err == nil {
			_, err := m.Match(target)
			require.NoError(t, err)
			_, err = m.Match(raw)
			require.NoError(t, err)
		}
		if s, err := query.CompileSort(raw, nil); err == nil {
			s.Key(target)
		}
		if p, err := query.CompileProjection(raw, query.Options{Value: fieldOrLiteral}); err == nil {
			if out, err := p.Apply(target, 0); err == nil {
				require.NoError(t, value.Validate(out))
			}
		}
	})
}
