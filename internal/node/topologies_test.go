package node_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var (
	shapes   = []int{0, 1, 2, 3} // shards; 0 is a replica set
	versions = []string{"6.0", "7.0", "8.0"}
)

func shapeName(shards int) string {
	if shards == 0 {
		return "replica set"
	}
	return fmt.Sprintf("%d shards", shards)
}

// Every pair of topologies and versions is moved under load, committed after a
// comparison that found nothing, and rolled back to the old source the same way.
func TestEveryPairOfTopologies(t *testing.T) {
	var table strings.Builder
	for i, from := range testedVersions {
		for _, to := range testedVersions[i:] {
			for _, src := range testedShapes {
				for _, dst := range testedShapes {
					name := fmt.Sprintf("| %s %s | %s %s |", from, shapeName(src), to, shapeName(dst))
					t.Run(strings.Trim(name, "| "), func(t *testing.T) {
						play(t, setting{srcShards: src, dstShards: dst, srcVersion: from, dstVersion: to}, func(t *testing.T, s *stage) {
							forth, back := s.thereAndBack()
							fmt.Fprintf(&table, "%s %d | %d |\n", name, forth, back)
						})
					})
				}
			}
		}
	}
	t.Logf("| from | to | documents compared there | and back |\n| --- | --- | --- | --- |\n%s", table.String())
	if path := os.Getenv("TOPOLOGIES"); path != "" {
		require.NoError(t, os.WriteFile(path, []byte(table.String()), 0o600))
	}
}

// thereAndBack moves to the destination and rolls back, and returns how many
// documents were compared each time.
func (s *stage) thereAndBack() (forth, back int64) {
	s.t.Helper()
	if s.srcShards > 0 {
		s.spread()
	}
	e := s.editor()
	e.edit(150)
	s.up()
	s.start()
	e.edit(50)
	s.stream()
	e.edit(50)
	s.commit()
	forth = s.reach(shardferry.StateCommitted).Last.Verified.Documents
	require.NoError(s.t, s.insert(s.guest, 1000, 1001, -1000))
	time.Sleep(2 * time.Second)
	require.NoError(s.t, s.node.Rollback(s.t.Context(), "test"))
	st := s.until("way back", func(st *state.Sync) bool { return st.Leg.Number == 3 && st.State == shardferry.StateCommitted })
	back = st.Last.Verified.Documents
	assert.Positive(s.t, forth)
	assert.Equal(s.t, forth+3, back)
	n, err := s.app.Database("d").Collection("c").CountDocuments(s.t.Context(), bson.D{{"_id", bson.D{{"$gte", 1000}}}})
	require.NoError(s.t, err)
	assert.Equal(s.t, int64(2), n)
	return forth, back
}
