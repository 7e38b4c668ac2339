package aggregate_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

// No valid documents make a pipeline panic, neither when it is compiled nor when
// it runs, and what it yields is valid.
func FuzzPipeline(f *testing.F) {
	doc := value.D("_id", 1, "a", value.A(3, 1, "x", value.D("b", 2)), "n", value.D("x", "abc", "d", value.DateTime(1e12)), "v", 2.5)
	for _, stages := range []bson.RawValue{
		value.A(value.D("$match", value.D("a", value.D("$elemMatch", value.D("b", 2)))), value.D("$project", value.D("x", value.D("$add", value.A("$v", 1))))),
		value.A(value.D("$group", value.D("_id", "$n.x", "s", value.D("$sum", "$v"), "p", value.D("$push", "$$ROOT"))), value.D("$sort", value.D("s", -1))),
		value.A(value.D("$unwind", value.D("path", "$a", "includeArrayIndex", "i")), value.D("$set", value.D("t", value.D("$type", "$a")))),
		value.A(value.D("$setWindowFields", value.D("sortBy", value.D("v", 1), "output", value.D("r", value.D("$sum", "$v", "window", value.D("documents", value.A(-1, 1))))))),
		value.A(value.D("$bucketAuto", value.D("groupBy", "$v", "buckets", 3)), value.D("$facet", value.D("f", value.A(value.D("$count", "n"))))),
		value.A(value.D("$replaceWith", value.D("$mergeObjects", value.A("$$ROOT", value.D("z", value.D("$dateToString", value.D("date", "$n.d", "format", "%Y-%j"))))))),
		value.A(value.D("$set", value.D("m", value.D("$map", value.D("input", "$a", "in", value.D("$cond", value.A(value.D("$isNumber", "$$this"), "$$this", nil))))))),
		value.A(value.D("$set", value.D("r", value.D("$regexFindAll", value.D("input", "$n.x", "regex", "b."))))),
		value.A(value.D("$densify", value.D("field", "v", "range", value.D("step", 1, "bounds", "full"))), value.D("$fill", value.D("output", value.D("a", value.D("value", 0))))),
	} {
		f.Add([]byte(value.D("p", stages)), []byte(doc))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		command, doc := valuetest.Mend(a), valuetest.Mend(b)
		var stages []bson.Raw
		list, _ := command.Lookup("p").ArrayOK()
		for _, v := range value.Elements(bson.Raw(list)) {
			if d, ok := v.DocumentOK(); ok {
				stages = append(stages, d)
			}
		}
		p, err := aggregate.CompilePipeline(stages, aggregate.Env{Vars: aggregate.NewVars(nil, time.UnixMilli(0), bson.Timestamp{})})
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		out := p.Run(aggregate.FromSlice([]bson.Raw{doc, doc, value.D("_id", 2)}))
		for range 1000 {
			d, err := out.Next(ctx)
			if d == nil || err != nil {
				return
			}
			require.NoError(t, value.Validate(d))
		}
	})
}
