package shardferry

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMomentsAreSeenUnderTheirContext(t *testing.T) {
	Reached(t.Context(), StreamRead) // nobody looks
	var seen []Moment
	ctx := WithReached(t.Context(), func(_ context.Context, m Moment) { seen = append(seen, m) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	Reached(ctx, StreamRead)
	Reached(ctx, Done("commit", "planned"))
	Reached(ctx, Recorded("commit", "planned"))
	assert.Equal(t, []Moment{"stream: a reply is read", "commit: planned is done, to be recorded", "commit: planned is recorded"}, seen)
}

// A name stands for one moment.
func TestMomentsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[Moment]bool{}
	for _, m := range WorkerMoments() {
		assert.False(t, seen[m], m)
		seen[m] = true
	}
}
