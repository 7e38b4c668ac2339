package update_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

// No valid documents make an update panic, neither as operators nor as a
// pipeline, and what it yields is valid and what the oplog would make of it.
func FuzzUpdate(f *testing.F) {
	target := value.D("_id", 1, "a", value.A(1, value.D("b", 2)), "n", value.D("0", "x", "y", nil), "s", "text")
	for _, u := range []bson.Raw{
		value.D("u", value.D("$set", value.D("a.0", 5, "n.z", 1), "$unset", value.D("s", 1))),
		value.D("u", value.D("$push", value.D("a", value.D("$each", value.A(1, 2), "$slice", -2, "$sort", 1)), "$inc", value.D("c.d", int64(1)))),
		value.D("u", value.D("$pull", value.D("a", value.D("b", value.D("$gt", 1))), "$rename", value.D("s", "n.s"))),
		value.D("u", value.D("$bit", value.D("a.0", value.D("or", 4)), "$currentDate", value.D("d", value.D("$type", "timestamp")))),
		value.D("u", value.D("$set", value.D("a.$[x].b", 1)), "f", value.A(value.D("x.b", value.D("$lt", 5)))),
		value.D("u", value.A(value.D("$set", value.D("n", value.D("$add", value.A("$_id", 1)))), value.D("$unset", "a"))),
		value.D("u", value.D("whole", 1)),
	} {
		f.Add([]byte(u), []byte(target))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		command, pre := valuetest.Mend(a), valuetest.Mend(b)
		o := update.Options{Now: clock}
		filters, _ := command.Lookup("f").ArrayOK()
		for _, v := range value.Elements(bson.Raw(filters)) {
			if d, ok := v.DocumentOK(); ok {
				o.ArrayFilters = append(o.ArrayFilters, d)
			}
		}
		u, err := update.Compile(command.Lookup("u"), o)
		if err != nil {
			return
		}
		post, err := u.Apply(pre, 0)
		if err != nil {
			return
		}
		require.NoError(t, value.Validate(post))
		if d, ok := u.LogDiff(pre, post); ok {
			again, err := update.ApplyDiff(pre, d)
			require.NoError(t, err)
			require.Equal(t, post, again)
			require.NoError(t, value.Validate(update.DescribeDiff(d, true)))
		}
	})
}

// No valid diff makes applying or describing it panic: an oplog may hold any.
func FuzzDiff(f *testing.F) {
	f.Add([]byte(value.D("d", value.D("a", false), "u", value.D("b", 1), "sx", value.D("a", true, "l", 1, "u0", 5))), []byte(value.D("a", 1, "b", 2, "x", value.A(1, 2))))
	f.Add([]byte(value.D("i", value.D("z", 1), "sx", value.D("a", true, "s3", value.D("u", value.D("q", 1))))), []byte(value.D("x", value.A(1))))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		diff, pre := valuetest.Mend(a), valuetest.Mend(b)
		if post, err := update.ApplyDiff(pre, diff); err == nil {
			require.NoError(t, value.Validate(post))
		}
		for _, paths := range []bool{true, false} {
			require.NoError(t, value.Validate(update.DescribeDiff(diff, paths)))
		}
	})
}
