package state_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// The catalogue is as of the last change that was made, or of what all shards that
// could tell of another have applied.
func TestTheTimeOfTheCatalogue(t *testing.T) {
	shard := func(applied, resolved uint32) state.Shard {
		return state.Shard{Applied: ct(applied), Resolved: shardferry.SchemaPoint{Time: ct(resolved)}}
	}
	lost := shard(10, 5)
	lost.Lost = true
	tests := []struct {
		name string
		leg  state.Leg
		want uint32
	}{
		{"nothing was changed for long", state.Leg{Shards: []state.Shard{shard(50, 5), shard(40, 7)}}, 40},
		{"a change was just made", state.Leg{Shards: []state.Shard{shard(50, 5), shard(40, 45)}}, 45},
		{"a shard may have joined", state.Leg{Shards: []state.Shard{shard(50, 5), shard(40, 7)}, Order: state.Order{Owners: &state.Owners{Known: ct(30)}}}, 30},
		{"a shard has lost changes", state.Leg{Shards: []state.Shard{shard(50, 5), lost}}, 50},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, ct(tt.want), tt.leg.Catalogued())
		})
	}
}
