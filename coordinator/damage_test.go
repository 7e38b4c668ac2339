package coordinator_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A node whose log is damaged does not start with half of it, and says what to do.
func TestADamagedLogIsRefused(t *testing.T) {
	for name, damage := range map[string]func(file []byte) []byte{
		"cut off":     func(b []byte) []byte { return b[:len(b)/4] },
		"nonsense":    func(b []byte) []byte { return bytes.Repeat([]byte("nonsense"), len(b)/8) },
		"empty pages": func(b []byte) []byte { clear(b[4*os.Getpagesize():]); return b },
		"a turned bit": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("marked by the test"), []byte("marked by a ghost!"))
		},
		"one head":      func(b []byte) []byte { b[os.Getpagesize()+60] ^= 1; return b },
		"heads are off": func(b []byte) []byte { clear(b[16 : 2*os.Getpagesize()]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				all := settled(t, dir, 3)
				l := leads(t, all)
				f := follower(all, l)
				require.NoError(t, f.c.Propose(t.Context(), state.Start{From: "marked by the test", Job: begin.Job}))
				require.NoError(t, f.c.Propose(t.Context(), planned))
				f.kill()
				path := filepath.Join(f.dir, "raft.db")
				file, err := os.ReadFile(path)
				require.NoError(t, err)
				changed := damage(bytes.Clone(file))
				require.NotEqual(t, file, changed)
				require.NoError(t, os.WriteFile(path, changed, 0o600))
				f.start()
				err = <-f.ended
				f.cancel = nil
				require.ErrorIs(t, err, coordinator.ErrDamaged)
				require.ErrorContains(t, err, "cluster leave")

				// What it says helps.
				require.NoError(t, l.c.Leave(t.Context(), f.host))
				require.NoError(t, os.RemoveAll(f.dir))
				f.start()
				require.NoError(t, f.c.Join(t.Context(), l.host+":1", true))
				assert.Equal(t, state.PhaseCreating, phase(f))
			})
		})
	}
}
