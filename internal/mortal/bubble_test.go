package mortal

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
	err := Bubble(func(ctx context.Context) error {
		select {
		case <-time.After(24 * time.Hour):
		case <-ctx.Done():
		}
		return want
	})
	require.ErrorIs(t, err, want)
	assert.Less(t, time.Since(began), time.Minute)
	require.NoError(t, Bubble(func(context.Context) error { return nil }), "a second one")
}

func TestABubbleNamesWhatWasLeftBehind(t *testing.T) {
	err := Bubble(func(context.Context) error {
		go func() { select {} }()
		return nil
	})
	require.ErrorIs(t, err, ErrLeftBehind)
	assert.ErrorContains(t, err, "TestABubbleNamesWhatWasLeftBehind")
}
