package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
)

// asks sends a command as the HTTP server does.
func (s *stage) asks(who, command, key string) error {
	s.t.Helper()
	do := s.orders()[command]
	return s.node.Answer(s.t.Context(), api.Request{Command: command, By: who, From: "10.0.0.1:9", Key: key}, func(ctx context.Context) error {
		return do(ctx, "10.0.0.1:9")
	})
}

// kind is the name by which an error travels.
func kind(err error) string {
	if err == nil {
		return ""
	}
	name, _ := api.Describe(err)
	return name
}

// said are the entries of the audit log, without their times.
func (s *stage) said(since time.Time) (out []string) {
	s.t.Helper()
	entries, err := s.node.Audit(s.t.Context(), since)
	require.NoError(s.t, err)
	for _, e := range entries {
		text := strings.TrimSpace(e.By + " " + e.Command)
		if e.Error != "" {
			text += ": " + e.Error
		}
		out = append(out, text)
	}
	return out
}

// What was carried out is in the audit log, and what was refused: by the state, by
// the lag, by a look at the clusters.
func TestTheAuditLogHasWhatWasRefusedToo(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.guest, 1))
		assert.Equal(t, "Refused", kind(s.asks("ada", "start", "")), "the destination is not empty")
		require.NoError(t, s.guest.Database("d").Drop(t.Context()))
		assert.Equal(t, "InvalidState", kind(s.asks("otto", "commit", "")))
		require.NoError(t, s.asks("ada", "start", ""))
		assert.Equal(t, "NotYet", kind(s.asks("otto", "commit", "")), "the copy is not done")
		assert.Equal(t, "InvalidState", kind(s.asks("otto", "resume", "")))
		s.stream()
		require.NoError(t, s.node.Answer(t.Context(), api.Request{Command: "cluster/leave", By: "ada"}, func(context.Context) error { return nil }))
		before := time.Now()
		time.Sleep(time.Second)
		require.NoError(t, s.asks("otto", "pause", ""))
		assert.Equal(t, []string{"ada start: Refused", "otto commit: InvalidState", "ada start", "otto commit: NotYet", "otto resume: InvalidState", "ada cluster/leave", "otto pause"}, s.said(time.Time{}))
		assert.Equal(t, []string{"otto pause"}, s.said(before))
		entries, err := s.node.Audit(t.Context(), time.Time{})
		require.NoError(t, err)
		assert.Contains(t, entries[0].Text, "the destination is not empty")
		assert.Equal(t, "10.0.0.1:9", entries[0].From)
	})
}

// The same key is answered as before, whatever has become of the sync.
func TestAKeyIsDoneOnce(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		early := s.asks("otto", "commit", "k0")
		assert.Equal(t, "InvalidState", kind(early))
		require.NoError(t, s.asks("ada", "start", "k1"))
		s.stream()
		require.NoError(t, s.asks("ada", "start", "k1"), "it runs, and that is what was asked for")
		assert.Equal(t, "InvalidState", kind(s.asks("ada", "start", "k2")))
		again := s.asks("otto", "commit", "k0")
		name, text := api.Describe(early)
		nameAgain, textAgain := api.Describe(again)
		assert.Equal(t, []string{name, text}, []string{nameAgain, textAgain}, "the first answer, word for word")

		require.NoError(t, s.asks("otto", "pause", "k3"))
		require.NoError(t, s.asks("otto", "resume", "k4"))
		require.NoError(t, s.asks("otto", "pause", "k3"))
		s.reach(shardferry.StateRunning)
		require.NoError(t, s.node.Answer(t.Context(), api.Request{Command: "pause", By: "otto", Key: "k3"}, func(context.Context) error {
			assert.Fail(t, "the clusters are not asked again")
			return nil
		}))
		require.ErrorIs(t, s.asks("otto", "commit", "k3"), api.ErrKeyReused)
		assert.Equal(t, "InvalidState", kind(s.asks("ada", "resume", "k3")), "her key is another")
	})
}

// A node that is killed knows the keys when it is back.
func TestAKeyOutlivesTheNode(t *testing.T) {
	play(t, setting{dir: t.TempDir()}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.up()
		require.NoError(t, s.asks("ada", "start", "k1"))
		s.stream()
		require.NoError(t, s.asks("otto", "pause", "k2"))
		s.down()
		s.up()
		require.NoError(t, s.asks("ada", "start", "k1"))
		require.NoError(t, s.asks("otto", "pause", "k2"))
		assert.Equal(t, []string{"ada start", "otto pause"}, s.said(time.Time{}))
	})
}

// Whoever loses the node that took a command sends it to another one, with its key.
func TestAKeyIsKnownToEveryNode(t *testing.T) {
	play(t, setting{srcShards: 1, dstShards: 1}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1, 2, 3))
		e := several(s, 3)
		defer e.down()
		send := func(p *player, command, key string) (err error) {
			t.Helper()
			s.node = p.Node
			for range 60 { // while a leader is found
				if err = s.asks("otto", command, key); !errors.Is(err, shardferry.ErrNotLeader) && !errors.Is(err, shardferry.ErrOutcomeUnknown) {
					break
				}
				time.Sleep(time.Second)
			}
			return err
		}
		first, other := e.leader()
		require.NoError(t, send(first, "start", "k1"))
		other.until(t, "stream", func(s *state.Sync) bool { return s.Leg.Phase == state.PhaseStreaming })
		require.NoError(t, send(first, "pause", "k2"))
		require.NoError(t, send(other, "resume", "k3"))
		e.kill(first)
		next, last := e.leader()
		for _, p := range []*player{next, last} {
			require.NoError(t, send(p, "start", "k1"))
			require.NoError(t, send(p, "pause", "k2"))
			require.ErrorIs(t, send(p, "commit", "k2"), api.ErrKeyReused)
			st, _ := p.State()
			assert.Equal(t, shardferry.StateRunning, st.State, "it paused again")
			assert.Equal(t, []string{"otto start", "otto pause", "otto resume"}, s.said(time.Time{}))
		}
		require.NoError(t, send(last, "pause", "k4"))
		next.until(t, "pause", func(s *state.Sync) bool { return s.State == shardferry.StatePaused })
		assert.Equal(t, "InvalidState", kind(send(next, "pause", "k5")))
		last.until(t, "refusal", func(s *state.Sync) bool { return s.Audit[len(s.Audit)-1].Kind == "InvalidState" })
	})
}
