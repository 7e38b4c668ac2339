package main

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No speed is asserted: that would fail on a busy machine.
func TestBenchPrintsWhatItMeasured(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), binary, "bench",
		"--docs", "300", "--events", "200", "--shards", "2", "--dest-shards", "1", "--seed", "7").Output()
	require.NoError(t, err)
	var r struct {
		Format     int
		Machine    struct{ Cores int }
		Parameters struct{ Docs, Events, Shards, Seed int }
		Copy       map[string]float64
		CatchUp    map[string]float64 `json:"catch_up"`
		Live       map[string]float64
		Verify     map[string]float64
		Commit     struct {
			Documents int64            `json:"documents_verified"`
			Steps     map[string]int64 `json:"steps_ms"`
		}
		Process map[string]float64
	}
	require.NoError(t, json.Unmarshal(out, &r), "%s", out)
	assert.Equal(t, 1, r.Format)
	assert.Positive(t, r.Machine.Cores)
	assert.Equal(t, 300, r.Parameters.Docs)
	assert.Equal(t, 7, r.Parameters.Seed)
	assert.InDelta(t, 300, r.Copy["documents"], 0)
	assert.NotZero(t, r.Copy["documents_per_second"])
	assert.Contains(t, r.Copy, "cpu_seconds_per_gb")
	assert.Contains(t, r.Copy, "peak_rss_bytes")
	for _, events := range []map[string]float64{r.CatchUp, r.Live} {
		assert.NotZero(t, events["events"])
		assert.NotZero(t, events["events_per_second"])
		assert.Contains(t, events, "cpu_seconds_per_million_events")
	}
	assert.Zero(t, r.Verify["differences"])
	assert.NotZero(t, r.Verify["documents_per_second"])
	assert.NotZero(t, r.Commit.Documents)
	assert.NotEmpty(t, r.Commit.Steps)
	assert.NotZero(t, r.Process["peak_rss_bytes"])
	assert.NotZero(t, r.Process["cpu_seconds"])
}

func TestBenchRefusesImpossibleNumbers(t *testing.T) {
	for _, flag := range []string{"--docs", "--doc-bytes", "--events", "--shards", "--dest-shards", "--lanes", "--copiers"} {
		err := exec.CommandContext(t.Context(), binary, "bench", flag, "-1").Run()
		var ended *exec.ExitError
		require.ErrorAs(t, err, &ended, flag)
		assert.Equal(t, exitUsage, ended.ExitCode(), flag)
	}
}
