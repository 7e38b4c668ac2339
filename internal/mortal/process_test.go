package mortal

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestANodeThatDoesNotEndIsReported(t *testing.T) {
	err := Bubble(func(ctx context.Context) error {
		_, cancel := context.WithCancelCause(ctx)
		return (&Process{plugs: [2]*plug{newPlug(nil), newPlug(nil)}, cancel: cancel, ended: make(chan error)}).Stop()
	})
	require.ErrorIs(t, err, ErrStuck)
}
