package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mortal"
)

// What fails here fails again with: shardferry chaos --seeds N --verbose.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed %d", seed+1), func(t *testing.T) {
			res := Run(seed + 1)
			p := Printer{W: os.Stderr}
			require.NoError(t, p.Result(res))
			assert.Empty(t, res.Violations)
		})
	}
}

// quiet is a plan in which nothing goes wrong.
func quiet() Plan {
	return Plan{
		SourceShards: 2, DestShards: 2, Docs: 120, Writers: 2, Pace: 50 * time.Millisecond,
		Latency: time.Millisecond, BatchDocs: 30, Ending: Stay, Linger: time.Second,
	}
}

// any one of the loaded documents that is still there.
func someDocument(ctx context.Context, c *mongo.Client) (bson.Raw, error) {
	return collection(c, plain).FindOne(ctx, bson.D{{"n", bson.D{{"$lt", 120}}}}).Raw()
}

func TestAPlantedViolationIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(ctx context.Context, s *scenario) error
		want  []string // each in one of the violations
	}{
		"nothing": {func(context.Context, *scenario) error { return nil }, nil},
		"a document is lost": {func(ctx context.Context, s *scenario) error {
			doc, err := someDocument(ctx, s.operators[Destination])
			if err != nil {
				return err
			}
			_, err = collection(s.operators[Destination], plain).DeleteOne(ctx, bson.D{{"_id", doc.Lookup("_id")}})
			return err
		}, []string{"only on the source", "the destination does not hold what was acknowledged: harbour.plain"}},
		"a document is lost on both": {func(ctx context.Context, s *scenario) error {
			doc, err := someDocument(ctx, s.operators[Source])
			if err != nil {
				return err
			}
			for _, c := range s.operators {
				if _, err := collection(c, plain).DeleteOne(ctx, bson.D{{"_id", doc.Lookup("_id")}}); err != nil {
					return err
				}
			}
			return nil
		}, []string{"it is missing"}},
		"a document is invented": {func(ctx context.Context, s *scenario) error {
			_, err := collection(s.operators[Destination], hashed).InsertOne(ctx, bson.D{{"_id", "invented"}, {"n", int64(1) << 40}, {"v", int64(1)}})
			return err
		}, []string{"only on the destination", "were never written"}},
		"fields change places": {func(ctx context.Context, s *scenario) error {
			doc, err := someDocument(ctx, s.operators[Destination])
			if err != nil {
				return err
			}
			var d bson.D
			if err := bson.Unmarshal(doc, &d); err != nil {
				return err
			}
			last := len(d) - 1
			d[last], d[last-1] = d[last-1], d[last]
			_, err = collection(s.operators[Destination], plain).ReplaceOne(ctx, bson.D{{"_id", doc.Lookup("_id")}}, d)
			return err
		}, []string{"the clusters differ"}},
		"both clusters take writes": {func(ctx context.Context, s *scenario) error {
			return s.operators[Destination].Database("admin").RunCommand(ctx, bson.D{{"setUserWriteBlockMode", 1}, {"global", false}}).Err()
		}, []string{"should be write-blocked"}},
		"a goroutine stays": {func(context.Context, *scenario) error {
			go func() { select {} }()
			return nil
		}, []string{mortal.ErrLeftBehind.Error()}},
		"a step fails": {func(context.Context, *scenario) error { return errors.New("no more") }, []string{"no more"}},
	} {
		t.Run(name, func(t *testing.T) {
			res := run(quiet(), c.spoil)
			assert.Equal(t, len(c.want) == 0, res.Passed, "%v", res.Violations)
			all := strings.Join(res.Violations, "\n")
			for _, want := range c.want {
				assert.Contains(t, all, want)
			}
		})
	}
}

// A commit that finds differences is given up, and that alone is a failure of the
// run: everything had been applied.
func TestACommitThatFindsDifferencesFailsTheRun(t *testing.T) {
	plan := quiet()
	plan.Ending = Commit
	res := run(plan, func(ctx context.Context, s *scenario) error {
		_, err := collection(s.operators[Destination], hashed).InsertOne(ctx, bson.D{{"_id", "invented"}, {"n", int64(1) << 40}, {"v", int64(1)}})
		return err
	})
	assert.False(t, res.Passed)
	assert.Contains(t, strings.Join(res.Violations, "\n"), "given up because of differences")
}

func TestASeedAlwaysDrawsTheSamePlan(t *testing.T) {
	kinds := map[Kind]bool{}
	for seed := range uint64(300) {
		p := NewPlan(seed)
		require.Equal(t, p, NewPlan(seed))
		require.NotEmpty(t, p.Faults)
		for _, f := range p.Faults {
			kinds[f.Kind] = true
			assert.Contains(t, p.Stages(), f.Stage)
			shards := max(1, [2]int{p.SourceShards, p.DestShards}[f.Side])
			assert.LessOrEqual(t, f.Shard, shards, "%v", f)
			if f.Kind == StepDown {
				assert.Less(t, f.Shard, shards, "%v", f)
			}
			assert.NotEmpty(t, f.String())
		}
	}
	assert.Len(t, kinds, 18, "every kind of fault is drawn")
}

func TestSeedsAreReadAsRanges(t *testing.T) {
	for text, want := range map[string][]uint64{
		"1":         {1},
		"1-3":       {1, 2, 3},
		"7, 1-2, 7": {7, 1, 2, 7},
		"":          nil,
		"a":         nil,
		"3-1":       nil,
		"1-":        nil,
		"-1":        nil,
		"1,,2":      nil,
		"0-1000000": nil,
		"18446744073709551615-18446744073709551615": {1<<64 - 1},
	} {
		got, err := ParseSeeds(text)
		assert.Equal(t, want, got, "%q", text)
		assert.Equal(t, want == nil, err != nil, "%q", text)
	}
}
