package chaos

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/shardferry/shardferry/internal/mortal"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/peer"
	"github.com/shardferry/shardferry/internal/peer/virtual"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// commitBudget is how long the sync may block writes before it gives a commit
// up.
const commitBudget = 30 * time.Second

// processes returns what makes the nodes under test. watch runs beside each of
// their lives.
func processes(stage *rehearse.Stage, plan Plan, dir string, log *slog.Logger, watch func() func(ctx context.Context, n *node.Node)) func(*member, *virtual.Network) *mortal.Process {
	return func(m *member, net *virtual.Network) *mortal.Process {
		src, dst := rehearse.Operator(stage.Source), rehearse.Operator(stage.Destination)
		src.AppName, dst.AppName = m.app, m.app
		cfg := node.Config{
			DataDir: dir, Source: src, Destination: dst,
			CommitBudget: cmp.Or(plan.Commits.budget, commitBudget), Copiers: 2, BatchDocs: plan.BatchDocs, Logger: log,
		}
		if net != nil {
			cfg.ID, cfg.DataDir, cfg.Logger = m.host, filepath.Join(dir, m.host), log.With("node", m.host)
			cfg.Peers = &node.PeersConfig{Port: peer.Config{Listen: m.host + port, Network: net.Host(m.host), Insecure: true}}
			if len(m.fleet.members) > 0 {
				cfg.Peers.Join = m.fleet.members[0].host + port
			}
		}
		return mortal.New(cfg, watch())
	}
}

// port is that of a node for the others.
const port = ":1"
