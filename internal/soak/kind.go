package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A Phase is a part of a history.
type Phase int

// The phases of a history, in order.
const (
	Before     Phase = iota // the sync is started
	Planning                // the source is read, collections are made
	Copying                 // documents and changes flow
	Streaming               // only changes do
	Committing              // until the source takes no writes any more
)

func (p Phase) String() string { return [...]string{"before", "plan", "copy", "stream", "commit"}[p] }

// A Kind is a sort of change of the source.
type Kind struct {
	name  string
	often int                // weight; 0: only where a history is about it
	needs func(p *Plan) bool // nil: any clusters
	// holds are words of the reason with which the sync must pause. To turn a
	// refusal into a promise, delete them.
	holds string
	// mayHold are such words where the sync may pause, or not, as the clusters are.
	mayHold string
	// caught says that the change may make the commit find a difference, which is
	// told, and no commit then: docs/LIMITS.md has the row.
	caught bool
	// choosy says that it is drawn with what is left out or renamed in mind.
	choosy bool
	// refuses are codes with which the source may refuse the change, as what is
	// there when its turn comes does not suit it.
	refuses []int
	// early says that it must not happen beside a commit: docs/LIMITS.md has the row.
	early bool
	do    func(ctx context.Context, w *world, r *rand.Rand) error
}

// refused reports whether an error is nothing but a refusal that is told of.
func (k *Kind) refused(err error) bool {
	var se mongo.ServerError
	if !errors.As(err, &se) || len(k.refuses) == 0 {
		return false
	}
	return !slices.ContainsFunc(se.ErrorCodes(), func(code int) bool { return !slices.Contains(k.refuses, code) && !mayHappen[code] })
}

// Codes of what some kinds of changes may be refused with.
const (
	viewsInACircle    = 5     // the view under it is one above it by now
	notSupported      = 115   // convertToCapped of a collection that was moved: docs/LIMITS.md
	outIntoCapped     = 17152 // what it would replace is capped by now
	outIntoSharded    = 28769 // what it would replace is sharded by now
	needsItsShardKey  = 370   // the shard key was refined, and rests on this index by now
	notInTransactions = 263   // a capped collection by now
	sliceOfNoArray    = 28724 // another document has another value there
)

// kinds are all there are.
func kinds() []*Kind {
	var all []*Kind
	for _, some := range [][]*Kind{writeKinds(), transactionKinds(), catalogKinds(), collModKinds(), indexKinds(), shardingKinds(), choiceKinds(), storedKinds()} {
		all = append(all, some...)
	}
	return all
}

func onSharded(p *Plan) bool { return p.Shards[0] > 0 }
func onSeveral(p *Plan) bool { return p.Shards[0] > 1 }

func splits(p *Plan) bool  { return p.Versions[source] != versions[0] }
func onSix(p *Plan) bool   { return p.before("7") }
func onEight(p *Plan) bool { return !p.before("8") }

func not(need func(p *Plan) bool) func(p *Plan) bool {
	return func(p *Plan) bool { return !need(p) }
}

func all(needs ...func(p *Plan) bool) func(p *Plan) bool {
	return func(p *Plan) bool {
		for _, n := range needs {
			if !n(p) {
				return false
			}
		}
		return true
	}
}
