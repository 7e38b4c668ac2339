package node_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/mongotest"
)

// A data directory knows its clusters by what they are, not by where they are:
// positions of one source would skip events of another, and documents would be
// deleted on a destination that was never filled.
func TestADataDirectoryRefusesOtherClusters(t *testing.T) {
	for name, other := range map[string]func(cfg *node.Config, third mongoconn.Config){
		"another source":      func(cfg *node.Config, third mongoconn.Config) { cfg.Source = third },
		"another destination": func(cfg *node.Config, third mongoconn.Config) { cfg.Destination = third },
		"turned round":        func(cfg *node.Config, _ mongoconn.Config) { cfg.Source, cfg.Destination = cfg.Destination, cfg.Source },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, setting{dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
				require.NoError(t, s.insert(s.app, upTo(10)...))
				s.up()
				s.start()
				s.stream()
				s.down()

				third := s.cluster("third", 0)
				wrote := ""
				third.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
					if c.Name == "setUserWriteBlockMode" || c.Name == "appendOplogNote" || c.Name == "create" || c.Name == "insert" {
						wrote = c.Name
					}
					return mongotest.Fault{}
				}})
				cfg := s.config()
				other(&cfg, mongoconn.Config{URI: uri(third, "operator"), Dialer: third.Dialer()})
				s.run(cfg)
				require.ErrorIs(t, s.end(), node.ErrOtherJob)
				assert.Empty(t, wrote)

				require.NoError(t, s.insert(s.app, 10))
				s.up() // the right ones go on where it stands
				resumed, ok := s.node.Resumed()
				assert.True(t, ok)
				assert.Equal(t, shardferry.StateRunning, resumed.State)
				time.Sleep(5 * time.Second)
				s.equal()
				assert.Len(t, docs(t, s.to), 11)
			})
		})
	}
}
