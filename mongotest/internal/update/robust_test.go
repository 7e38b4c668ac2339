package update_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// genUpdate draws operators on paths that often exist in genDoc's documents.
func genUpdate() *rapid.Generator[bson.Raw] {
	modifiers := []string{"$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$push", "$addToSet", "$pop", "$pull", "$pullAll", "$bit", "$currentDate", "$setOnInsert"}
	paths := []string{"a", "b", "c.0", "d.1.a", "a.b", "0", "u.a.b", "i.2", "a.$[]", "b.$[].c", "s.$", "new.x", "_id"}
	return rapid.Custom(func(t *rapid.T) bson.Raw {
		var u []any
		for _, m := range rapid.SliceOfNDistinct(rapid.SampledFrom(modifiers), 1, 3, rapid.ID[string]).Draw(t, "modifiers") {
			var args []any
			for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 1, 3, rapid.ID[string]).Draw(t, "paths") {
				args = append(args, p, genArg(t, m))
			}
			u = append(u, m, value.D(args...))
		}
		return value.D(u...)
	})
}

func genArg(t *rapid.T, modifier string) bson.RawValue {
	switch {
	case rapid.IntRange(0, 5).Draw(t, "odd") == 0:
		return genValue(2).Draw(t, "arg")
	case modifier == "$rename":
		return value.String(rapid.SampledFrom([]string{"x", "y.z", "a.x", "b"}).Draw(t, "to"))
	case modifier == "$push" && rapid.Bool().Draw(t, "each"):
		n := rapid.Int32Range(-3, 3)
		return value.Doc(value.D("$each", value.ArrayOf(genValue(1).Draw(t, "arg")), "$slice", n.Draw(t, "slice"), "$position", n.Draw(t, "position"), "$sort", int32(1)))
	case modifier == "$pull":
		return value.Doc(value.D("$gte", genValue(0).Draw(t, "arg")))
	case modifier == "$pullAll":
		return value.ArrayOf(genValue(0).Draw(t, "arg"))
	case modifier == "$bit":
		return value.Doc(value.D("or", int32(4)))
	case modifier == "$currentDate":
		return value.Bool(true)
	case modifier == "$pop":
		return value.Int32(1)
	default:
		return genValue(1).Draw(t, "arg")
	}
}

func TestUpdatesYieldValidDocumentsOrCodedErrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pre := genDoc(3).Draw(t, "pre")
		before := string(pre)
		u, err := update.Compile(value.Doc(genUpdate().Draw(t, "update")), update.Options{Now: clock})
		var post bson.Raw
		if err == nil {
			post, err = u.Apply(pre, rapid.IntRange(-1, 2).Draw(t, "position"))
		}
		if string(pre) != before {
			t.Fatalf("the document handed in has changed")
		}
		if err != nil {
			if mongoerr.From(err).Code == mongoerr.InternalError {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		if err := value.Validate(post); err != nil {
			t.Fatalf("invalid result: %v", err)
		}
		d, ok := u.LogDiff(pre, post)
		if !ok {
			t.Fatalf("no diff from %v to %v", pre, post)
		}
		if got, err := update.ApplyDiff(pre, d); err != nil || string(got) != string(post) {
			t.Fatalf("the diff %v gives %v, %v; want %v", d, got, err, post)
		}
	})
}
