package main

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No speed is asserted: that would fail on a busy machine.
func TestBenchCoordinatorPrintsWhatItMeasured(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), binary, "bench", "coordinator", "--load", "4/40", "--load", "8/80", "--seconds", "1", "--dir", t.TempDir(), "--json").Output()
	require.NoError(t, err)
	var r []map[string]float64
	require.NoError(t, json.Unmarshal(out, &r), "%s", out)
	require.Len(t, r, 2)
	for i, shards := range []float64{4, 8} {
		assert.InDelta(t, shards, r[i]["shards"], 0)
		assert.InDelta(t, 4*shards, r[i]["reports_per_second_wanted"], 0)
		for _, key := range []string{"reports_per_second", "commands_per_second", "report_ms_p99", "snapshot_bytes", "failover_seconds"} {
			assert.Positive(t, r[i][key], key)
		}
	}
}

func TestBenchCoordinatorRefusesImpossibleNumbers(t *testing.T) {
	for _, args := range [][]string{{"--load", "7"}, {"--load", "0/7"}, {"--load", "x/y"}, {"--seconds", "0"}, {"--loads", "1/1"}, {"more"}} {
		err := exec.CommandContext(t.Context(), binary, append([]string{"bench", "coordinator"}, args...)...).Run()
		var ended *exec.ExitError
		require.ErrorAs(t, err, &ended, "%v", args)
		assert.Equal(t, exitUsage, ended.ExitCode(), "%v", args)
	}
}
