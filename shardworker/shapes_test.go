package shardworker_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
)

// Between replica sets and sharded clusters of any size, crashes lose nothing,
// also of documents that change their shard key.
func TestCrashesBetweenUnlikeClusters(t *testing.T) {
	for _, shape := range [][2]int{{0, 2}, {2, 0}, {2, 3}} {
		for seed := range uint64(crashSeeds) {
			t.Run(fmt.Sprintf("%d to %d seed %d", shape[0], shape[1], seed), func(t *testing.T) {
				bubble(t, mongotest.Options{Shards: shape[0]}, mongotest.Options{Shards: shape[1]}, func(t *testing.T, p *pair) {
					key := bson.D{{"x", 1}}
					srcKey, dstKey := key, key
					if shape[0] == 0 {
						srcKey = nil
					}
					if shape[1] == 0 {
						dstKey = nil
					}
					a := p.create(orders, srcKey, dstKey)
					if srcKey != nil {
						spread(p, p.from, p.src, orders)
					}
					if dstKey != nil {
						spread(p, p.to, p.dst, orders)
					}
					fill(p, orders, 800)
					l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, srcKey))
					rng := rand.New(rand.NewPCG(seed, 2))
					var stop func() []error
					p.write(seed*10, []shardferry.Namespace{orders}, true, func() {
						for range 6 {
							stop = p.work(l, small)
							time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
							l.crash(stop)
						}
						stop = p.work(l, small)
						time.Sleep(time.Second)
					})
					p.settle(l)
					assert.Positive(t, p.requireEqual(orders))
					stop()
				})
			})
		}
	}
}
