package coordinator_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// An auditor has something to record, always.
type auditor struct{}

func (auditor) Name() string { return "audit" }

func (auditor) Reconcile(context.Context, *state.Sync) ([]state.Command, error) {
	return []state.Command{state.Start{From: "test"}}, nil
}

// A node that is told to stop while it records something does not complain of it.
func TestStoppingIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, err := coordinator.New(coordinator.Config{
			ID: "n1", Reconcilers: []coordinator.Reconciler{auditor{}}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Patience: func() coordinator.Patience { return &calm{tries: math.MaxInt} },
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		met := false
		ctx = shardferry.WithReached(ctx, func(_ context.Context, m shardferry.Moment) {
			if m == shardferry.Done("audit", "start") {
				met = true
				cancel()
			}
		})
		require.ErrorIs(t, c.Run(ctx), context.Canceled)
		assert.True(t, met)
		assert.NotContains(t, log.String(), "trying again")
	})
}
