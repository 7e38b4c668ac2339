package chaos

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestABubbleHasItsOwnTime(t *testing.T) {
	want := errors.New("what f returned")
	began := time.Now()
	err := inBubble(func(ctx context.Context) error {
		select {
		case <-time.After(24 * time.Hour):
		case <-ctx.Done():
		}
		return want
	})
	require.ErrorIs(t, err, want)
	assert.Less(t, time.Since(began), time.Minute)
	require.NoError(t, inBubble(func(context.Context) error { return nil }), "a second one")
}

func TestABubbleNamesWhatWasLeftBehind(t *testing.T) {
	err := inBubble(func(context.Context) error {
		go func() { select {} }()
		return nil
	})
	require.ErrorIs(t, err, errLeftBehind)
	assert.ErrorContains(t, err, "TestABubbleNamesWhatWasLeftBehind")
}
