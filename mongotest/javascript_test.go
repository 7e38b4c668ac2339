package mongotest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// clusters are those that server-side JavaScript runs on alike.
var clusters = map[string]mongotest.Options{"replica set": {}, "sharded": {Shards: 3}}

// withNumbers runs a story on each of the clusters with {_id: i, x: i, g: i%3}
// in d.c, which is sharded if it can be.
func withNumbers(t *testing.T, n int, story func(t *testing.T, c *mongotest.Cluster, coll *mongo.Collection)) {
	t.Helper()
	for name, o := range clusters {
		t.Run(name, func(t *testing.T) {
			bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				if o.Shards > 0 {
					shardHashed(t, cl, "d.c")
				}
				coll := cl.Database("d").Collection("c")
				for i := range n {
					_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}, {"x", i}, {"g", i % 3}})
					require.NoError(t, err)
				}
				story(t, c, coll)
			})
		})
	}
}

// function is a $function.
func function(body any, args ...any) bson.D {
	return bson.D{{"$function", bson.D{{"body", body}, {"args", bson.A(args)}, {"lang", "js"}}}}
}

func TestWhereFindsCountsAndWrites(t *testing.T) {
	withNumbers(t, 20, func(t *testing.T, _ *mongotest.Cluster, coll *mongo.Collection) {
		where := func(code any) bson.D { return bson.D{{"$where", code}} }
		found := func(filter any, o ...options.Lister[options.FindOptions]) (ids []int32) {
			cur, err := coll.Find(t.Context(), filter, append(o, options.Find().SetSort(bson.D{{"_id", 1}}).SetBatchSize(2))...)
			require.NoError(t, err)
			for cur.Next(t.Context()) {
				ids = append(ids, cur.Current.Lookup("_id").Int32())
			}
			require.NoError(t, cur.Err())
			return ids
		}
		assert.Equal(t, []int32{17, 18, 19}, found(where("this.x > 16")))
		assert.Equal(t, []int32{18, 19}, found(where(bson.JavaScript("function() { return obj.x > 16 }")), options.Find().SetSkip(1)))
		assert.Equal(t, []int32{0, 19}, found(bson.D{{"$or", bson.A{where("this.x == 19"), bson.D{{"x", 0}}}}}))
		n, err := coll.Database().Collection("c").CountDocuments(t.Context(), bson.D{{"$expr", function("function(x) { return x % 2 == 0 }", "$x")}})
		require.NoError(t, err)
		assert.EqualValues(t, 10, n)

		res, err := coll.UpdateMany(t.Context(), where("this.x % 2 == 1"), bson.D{{"$inc", bson.D{{"x", 100}}}})
		require.NoError(t, err)
		assert.EqualValues(t, 10, res.ModifiedCount)
		_, err = coll.UpdateMany(t.Context(), where("this.x > 100"), mongo.Pipeline{{{"$set", bson.D{{"y", function("function(x) { return x * 2 }", "$x")}}}}})
		require.NoError(t, err)
		assert.Equal(t, []int32{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}, found(where("this.y === this.x * 2")))
		del, err := coll.DeleteMany(t.Context(), where("this.y"))
		require.NoError(t, err)
		assert.EqualValues(t, 10, del.DeletedCount)
		one := coll.FindOneAndDelete(t.Context(), bson.D{{"_id", 4}, {"$where", "this.x == 4"}})
		require.NoError(t, one.Err())
		assert.Equal(t, []int32{0, 2, 6, 8, 10, 12, 14, 16, 18}, found(where("true")))

		_, err = coll.UpdateOne(t.Context(), where("this.nope.nope"), bson.D{{"$set", bson.D{{"x", 1}}}}, options.UpdateOne())
		assertCode(t, 139, err)
		cur, err := coll.Aggregate(t.Context(), mongo.Pipeline{{{"$match", where("true")}}})
		if err == nil {
			cur.Next(t.Context())
			err = cur.Err()
		}
		assertCode(t, 2, err)
	})
}

// An operation whose script sleeps ends when its time is over, or its client has
// had enough; others go on meanwhile.
func TestSleepingScriptsEndInTime(t *testing.T) {
	withNumbers(t, 3, func(t *testing.T, _ *mongotest.Cluster, coll *mongo.Collection) {
		slow := bson.D{{"$where", "function() { sleep(1000); return false; }"}}
		begin := time.Now()
		err := coll.Database().RunCommand(t.Context(), bson.D{{"find", "c"}, {"filter", slow}, {"maxTimeMS", 100}}).Err()
		assertCode(t, 50, err)
		assert.Less(t, time.Since(begin), 200*time.Millisecond)

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = coll.Find(ctx, slow)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		begin = time.Now()
		ended := make(chan error, 1)
		go func() {
			_, err := coll.UpdateMany(t.Context(), bson.D{{"$where", "sleep(1000); true"}}, bson.D{{"$set", bson.D{{"slow", true}}}})
			ended <- err
		}()
		rest(500 * time.Millisecond)
		_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", 2}}, bson.D{{"$set", bson.D{{"quick", true}}}})
		require.NoError(t, err, "a script holds no lock")
		assert.Less(t, time.Since(begin), 600*time.Millisecond)
		require.NoError(t, <-ended)
		n, err := coll.CountDocuments(t.Context(), bson.D{{"slow", true}})
		require.NoError(t, err)
		assert.EqualValues(t, 3, n)
	})
}

// A script without end is stopped by its operation's limit, by killOp, and when
// its client leaves.
func TestEndlessScripts(t *testing.T) {
	c, err := mongotest.New(mongotest.Options{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	defer func() {
		cancel()
		assert.NoError(t, <-ran)
	}()
	<-c.Ready()
	cl, done := connect(t, c)
	defer done()
	coll := cl.Database("d").Collection("c")
	_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
	require.NoError(t, err)
	endless := bson.D{{"$where", "while (true) {}"}}
	for _, cmd := range []bson.D{
		{{"find", "c"}, {"filter", endless}, {"maxTimeMS", 50}},
		{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", endless}, {"limit", 0}}}}, {"maxTimeMS", 50}},
	} {
		assertCode(t, 50, coll.Database().RunCommand(t.Context(), cmd).Err())
	}

	ended := make(chan error, 1)
	go func() { ended <- coll.FindOne(t.Context(), endless).Err() }()
	admin := cl.Database("admin")
	require.Eventually(t, func() bool {
		cur, err := admin.Aggregate(t.Context(), mongo.Pipeline{{{"$currentOp", bson.D{}}}, {{"$match", bson.D{{"command.filter.$where", bson.D{{"$exists", true}}}}}}})
		require.NoError(t, err)
		var ops []struct{ Opid int32 }
		require.NoError(t, cur.All(t.Context(), &ops))
		if len(ops) == 0 {
			return false
		}
		require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"killOp", 1}, {"op", ops[0].Opid}}).Err())
		return true
	}, 10*time.Second, 5*time.Millisecond)
	assertCode(t, 11601, <-ended)
}

func TestFunctionsAndAccumulators(t *testing.T) {
	withNumbers(t, 9, func(t *testing.T, _ *mongotest.Cluster, coll *mongo.Collection) {
		cur, err := coll.Aggregate(t.Context(), mongo.Pipeline{
			{{"$group", bson.D{{"_id", "$g"}, {"r", bson.D{{"$accumulator", bson.D{
				{"init", "function(from) { return {n: 0, sum: from} }"},
				{"initArgs", bson.A{1000}},
				{"accumulate", "function(s, x) { return {n: s.n + 1, sum: s.sum + x} }"},
				{"accumulateArgs", bson.A{"$x"}},
				{"merge", "function(a, b) { return {n: a.n + b.n, sum: a.sum + b.sum} }"},
				{"finalize", "function(s) { return s.sum / s.n }"},
				{"lang", "js"},
			}}}}}}},
			{{"$sort", bson.D{{"_id", 1}}}},
			{{"$project", bson.D{{"_id", 0}, {"r", function(bson.JavaScript("function(r, g) { return g + ':' + Math.round(r) }"), "$r", "$_id")}}}},
		})
		require.NoError(t, err)
		var got []struct{ R string }
		require.NoError(t, cur.All(t.Context(), &got))
		assert.Equal(t, "[{0:336} {1:337} {2:338}]", fmt.Sprint(got))
	})
}

// mapReduce sees the documents of its query, its scope and what system.js
// holds, and leaves its results where it is told to.
func TestMapReduce(t *testing.T) {
	withNumbers(t, 9, func(t *testing.T, _ *mongotest.Cluster, coll *mongo.Collection) {
		db := coll.Database()
		_, err := db.Collection("system.js").InsertOne(t.Context(), bson.D{{"_id", "add"}, {"value", bson.JavaScript("function(a) { return Array.sum(a) }")}})
		require.NoError(t, err)
		mapReduce := func(out any, more ...bson.E) (bson.Raw, error) {
			return db.RunCommand(t.Context(), append(bson.D{
				{"mapReduce", "c"},
				{"map", "function() { emit(this.g, this.x * factor) }"},
				{"reduce", bson.JavaScript("function(k, v) { return add(v) }")},
				{"scope", bson.D{{"factor", 10}}},
				{"out", out},
			}, more...)).Raw()
		}
		r, err := mapReduce(bson.D{{"inline", 1}}, bson.E{Key: "query", Value: bson.D{{"x", bson.D{{"$gt", 0}}}, {"$where", "this.x < 8"}}},
			bson.E{Key: "finalize", Value: "function(k, v) { return {sum: v} }"}, bson.E{Key: "sort", Value: bson.D{{"x", 1}}})
		require.NoError(t, err)
		results, _ := r.Lookup("results").Array().Values()
		sums := map[float64]float64{}
		for _, d := range results {
			sums[d.Document().Lookup("_id").Double()] = d.Document().Lookup("value", "sum").Double()
		}
		assert.Equal(t, map[float64]float64{0: 90, 1: 120, 2: 70}, sums)

		stored := func() string {
			cur, err := db.Collection("out").Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}))
			require.NoError(t, err)
			var got []struct{ Value float64 }
			require.NoError(t, cur.All(t.Context(), &got))
			return fmt.Sprint(got)
		}
		r, err = mapReduce("out")
		require.NoError(t, err)
		assert.Equal(t, "out", r.Lookup("result").StringValue())
		assert.Equal(t, "[{90} {120} {150}]", stored())
		_, err = mapReduce(bson.D{{"reduce", "out"}})
		require.NoError(t, err)
		assert.Equal(t, "[{180} {240} {300}]", stored())
		_, err = mapReduce(bson.D{{"merge", "out"}, {"db", "d"}}, bson.E{Key: "query", Value: bson.D{{"g", 1}}})
		require.NoError(t, err)
		assert.Equal(t, "[{180} {120} {300}]", stored())
		_, err = mapReduce(bson.D{{"replace", "out"}}, bson.E{Key: "query", Value: bson.D{{"g", 1}}}, bson.E{Key: "sort", Value: bson.D{{"x", -1}}}, bson.E{Key: "limit", Value: 1})
		require.NoError(t, err)
		assert.Equal(t, "[{70}]", stored())

		for code, out := range map[int]any{2: 1, 72: bson.D{{"inline", 1}, {"db", "x"}}, 115: bson.D{{"merge", "x"}, {"db", "admin"}}} {
			_, err = mapReduce(out)
			assertCode(t, code, err)
		}
		_, err = mapReduce(bson.D{{"inline", 1}}, bson.E{Key: "finalize", Value: "nope("})
		assertCode(t, 139, err)
	})
}

// A script has seen a document that another operation has changed before the
// write: it is asked again.
func TestScriptsJudgeWhatIsWritten(t *testing.T) {
	withNumbers(t, 3, func(t *testing.T, _ *mongotest.Cluster, coll *mongo.Collection) {
		ended := make(chan int64, 1)
		go func() {
			res, err := coll.UpdateMany(t.Context(), bson.D{{"$where", "sleep(1000); return this.x < 10"}}, bson.D{{"$set", bson.D{{"small", true}}}})
			assert.NoError(t, err)
			ended <- res.ModifiedCount
		}()
		rest(1500 * time.Millisecond)
		_, err := coll.UpdateMany(t.Context(), bson.D{{"x", bson.D{{"$lt", 2}}}}, bson.D{{"$set", bson.D{{"x", 100}}}})
		require.NoError(t, err)
		assert.EqualValues(t, 1, <-ended)

		// Arguments that differ each time have an end too.
		res, err := coll.UpdateMany(t.Context(), bson.D{}, mongo.Pipeline{{{"$set", bson.D{{"r", function("function(r) { return r >= 0 }", bson.D{{"$rand", bson.D{}}})}}}}})
		require.NoError(t, err)
		assert.EqualValues(t, 3, res.ModifiedCount)
	})
}

func TestScriptsInTransactions(t *testing.T) {
	withNumbers(t, 6, func(t *testing.T, _ *mongotest.Cluster, coll *mongo.Collection) {
		s, err := coll.Database().Client().StartSession()
		require.NoError(t, err)
		defer s.EndSession(t.Context())
		_, err = s.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
			if _, err := coll.UpdateMany(ctx, bson.D{{"$where", "this.x % 2 == 0"}}, bson.D{{"$set", bson.D{{"even", true}}}}); err != nil {
				return nil, err
			}
			n, err := coll.CountDocuments(ctx, bson.D{{"$expr", function("function(e) { return e }", "$even")}})
			assert.EqualValues(t, 3, n)
			return nil, err
		})
		require.NoError(t, err)
		n, err := coll.CountDocuments(t.Context(), bson.D{{"even", true}})
		require.NoError(t, err)
		assert.EqualValues(t, 3, n)
	})
}
