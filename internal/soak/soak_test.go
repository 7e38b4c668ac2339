package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

var (
	firstSeed = flag.Uint64("soak.from", 1, "first seed")
	seedCount = flag.Uint64("soak.seeds", testedSeeds, "how many seeds")
)

// What fails here fails again with: make soak SEEDS=1 FROM=n.
func TestHistoriesEndEqual(t *testing.T) {
	s := &session{w: os.Stderr, total: newTally(), began: time.Now()}
	s.playAll(*firstSeed, *seedCount, runtime.GOMAXPROCS(0))
	assert.Empty(t, s.failed)
	assert.NotZero(t, s.total.counts["ending"][committed])
}

// A plan is the same whenever it is drawn, and a part that is left out changes
// none of the others.
func TestAPlanIsItsSeed(t *testing.T) {
	for seed := range uint64(200) {
		p := newPlan(seed)
		require.Equal(t, p.String(), newPlan(seed).String())
		less := p.only([]int{1})
		require.Len(t, less.Steps, 1)
		require.Equal(t, p.Steps[1].Seed, less.Steps[0].Seed)
	}
}

// Every row of every table is in the plan of some seed.
func TestEveryRowComesRound(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(2000) {
		p := newPlan(seed)
		seen[p.Choice.name] = true
		for _, s := range p.Steps {
			seen[s.Kind.name] = true
		}
		for _, f := range p.Faults {
			seen[f.Kind.name] = true
		}
		for _, id := range p.IDs {
			seen[id.name] = true
		}
		for _, b := range p.Bodies {
			seen[b.name] = true
		}
	}
	for _, k := range kinds() {
		assert.True(t, seen[k.name], k.name)
	}
	for _, c := range choices() {
		assert.True(t, seen[c.name], c.name)
	}
	for _, f := range faultKinds() {
		assert.True(t, seen[f.name], f.name)
	}
	for _, id := range idKinds {
		assert.True(t, seen[id.name], id.name)
	}
	for _, b := range bodyKinds {
		assert.True(t, seen[b.name], b.name)
	}
}

// What fails is told with as little as it takes, and how to play that.
func TestAFailureShrinks(t *testing.T) {
	fails := func(p *Plan) *Result {
		if strings.Contains(p.String(), "copy, writer") && len(p.Steps) > 0 {
			return &Result{Plan: p, Err: errors.New("it went wrong")}
		}
		return nil
	}
	whole := newPlan(3)
	told := shrinkBy(3, &Result{Plan: whole, Err: errors.New("it went wrong")}, fails)
	assert.Contains(t, told, "make soak FROM=3 KEEP=")
	assert.Equal(t, 1, strings.Count(told, "copy, writer"), told)
	assert.NotContains(t, told, "stream, writer")
}

// Equal ids have one shard key, whatever their type.
func TestEqualIDsLiveTogether(t *testing.T) {
	for _, same := range [][]any{
		{int32(1), int64(1), 1.0, decimal("1.0"), decimal("1.00")}, {0.0, int32(0), decimal("-0")}, {"a", bson.Symbol("a")},
	} {
		for _, id := range same {
			assert.Equal(t, homeOf(same[0]), homeOf(id), fmt.Sprint(id))
		}
	}
	assert.NotEqual(t, homeOf("a"), homeOf("b"))
}

// What a kind of change may be refused with is no failure there, and one anywhere
// else.
func TestARefusalIsOfItsKind(t *testing.T) {
	kind := func(name string) *Kind {
		all := kinds()
		return all[slices.IndexFunc(all, func(k *Kind) bool { return k.name == name })]
	}
	refusal := mongo.CommandError{Code: notSupported}
	assert.True(t, kind("convertToCapped").refused(refusal))
	assert.False(t, kind("insert").refused(refusal))
	assert.False(t, kind("convertToCapped").refused(mongo.CommandError{Code: notInTransactions}))
	assert.True(t, kind("transaction in one collection").refused(mongo.CommandError{Code: notInTransactions}))
	assert.False(t, tolerable(refusal))
}

// Only for what has expired the checker waits until it went the way back.
func TestOnlyWhatExpiresIsWaitedFor(t *testing.T) {
	gone := `b.c lacks {"_id": "gone61","k": {"$numberInt":"3"}} on the destination`
	assert.True(t, onlyExpired([]string{gone, gone}))
	for _, real := range []string{
		`b.c lacks {"_id": "x","gone": 1} on the destination`,
		`b.c has {"_id": "gone61"} only on the destination`,
		`b.c has {"_id": "gone61"} on the source, {"_id": "gone61","v": 1} on the destination`,
		`b.c lacks the index {key: {gone: 1}} on the destination`,
	} {
		assert.False(t, onlyExpired([]string{gone, real}), real)
	}
}
