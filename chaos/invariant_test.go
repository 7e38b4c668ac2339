package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

func TestAPositionThatGoesBackIsFound(t *testing.T) {
	at := func(i uint32) shardferry.ClusterTime { return shardferry.ClusterTime{T: 5, I: i} }
	leg := func(number int, a, b uint32, epoch uint64) *state.Sync {
		return &state.Sync{Leg: state.Leg{Number: number, Shards: []state.Shard{
			{ID: "a", Applied: at(a), Epoch: epoch}, {ID: "b", Applied: at(b), Epoch: epoch},
		}}}
	}
	for name, c := range map[string]struct {
		then  *state.Sync
		wrong bool
	}{
		"on":                        {leg(1, 6, 5, 2), false},
		"still":                     {leg(1, 5, 5, 2), false},
		"one shard back":            {leg(1, 4, 6, 2), true},
		"an epoch back":             {leg(1, 6, 6, 1), true},
		"a leg back":                {leg(0, 6, 6, 2), true},
		"another leg has its own":   {leg(2, 1, 1, 1), false},
		"ahead of what was written": {leg(1, 6, 11, 2), true},
	} {
		t.Run(name, func(t *testing.T) {
			bad := &violations{trace: &trace{began: time.Now()}}
			p := newPositions(bad)
			p.see(leg(1, 5, 5, 2), at(10))
			p.see(c.then, at(10))
			assert.Equal(t, c.wrong, len(bad.all()) > 0, "%v", bad.all())
		})
	}
}

func TestASecondWriterIsFound(t *testing.T) {
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	c := &crowd{trace: &trace{began: now}, owned: at(-20)}
	c.took(Source, at(-10))
	c.took(Destination, at(-9)) // a commit
	c.took(Source, at(-12))     // begun before it, and only now known
	_, _, switches, _ := c.counts()
	assert.Equal(t, 1, switches)
	c.owned = at(-5)
	c.took(Source, at(-4)) // admitted after the destination had taken one
	_, _, switches, _ = c.counts()
	assert.Equal(t, 2, switches)
}
