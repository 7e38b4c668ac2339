package shardworker

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
)

// renames answers finds by what became of a collection meanwhile: a name for
// each time it was renamed before the find arrived, "" for a drop.
type renames struct {
	t     *testing.T
	next  []string
	asked []string
}

func (r *renames) find(_ context.Context, _ string, cmd bson.Raw, _ int) (cursor, error) {
	r.asked = append(r.asked, cmd.Lookup("find").StringValue())
	if len(r.next) == 0 {
		return empty{}, nil
	}
	name := r.next[0]
	r.next = r.next[1:]
	var actual any
	if name != "" {
		actual = name
	}
	return nil, mongo.CommandError{Code: 361, Name: "CollectionUUIDMismatch", Raw: raw(r.t, bson.D{{"actualCollection", actual}})}
}

type empty struct{}

func (empty) batch(context.Context) ([]bson.Raw, error) { return nil, nil }
func (empty) exhausted() bool                           { return true }
func (empty) clock() shardferry.ClusterTime             { return at(1) }
func (empty) close(context.Context)                     {}

// A document is read again under whatever name its collection has by then, also
// when that changes more than once on the way.
func TestRereadFollowsRenames(t *testing.T) {
	coll := testCollection()
	tests := []struct {
		name string
		next []string
		want []string
	}{
		{"as it was", nil, []string{coll.Source.Coll}},
		{"renamed", []string{"b"}, []string{coll.Source.Coll, "b"}},
		{"renamed again on the way", []string{"b", "c"}, []string{coll.Source.Coll, "b", "c"}},
		{"renamed and dropped", []string{"b", ""}, []string{coll.Source.Coll, "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := &renames{t: t, next: tt.next}
			_, _, err := reread{from: from}.all(t.Context(), query{coll: &coll, filter: raw(t, bson.D{})})
			require.NoError(t, err)
			assert.Equal(t, tt.want, from.asked)
		})
	}
}
