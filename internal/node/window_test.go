package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// While the sync is paused the oplog runs on. Before it lets go of what is not
// applied, the progress says so.
func TestAShortOplogWindowIsTold(t *testing.T) {
	play(t, setting{oplog: oplogSize}, func(t *testing.T, s *stage) {
		s.halves(20)
		s.up()
		s.start()
		s.stream()
		coll := s.app.Database("d").Collection("c")
		write := func(n int) {
			for i := range n {
				time.Sleep(time.Second)
				_, err := coll.UpdateOne(t.Context(), bson.D{{"_id", -1}}, bson.D{{"$set", bson.D{{"n", i}}}})
				require.NoError(t, err)
			}
		}
		write(200)
		p, err := s.node.Progress(t.Context())
		require.NoError(t, err)
		require.NotNil(t, p.Detail.OplogLeft)
		assert.Empty(t, p.Warnings)
		require.NoError(t, s.node.Pause(t.Context(), "test"))
		write(oplogSize - 60)
		p, err = s.node.Progress(t.Context())
		require.NoError(t, err)
		require.Len(t, p.Warnings, 1)
		assert.Contains(t, p.Warnings[0], "the source's oplog reaches back only")
		require.NoError(t, s.node.Resume(t.Context(), "test"))
		s.commit()
	})
}
