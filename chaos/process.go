package chaos

import (
	"context"
	"log/slog"
	"time"

	"github.com/shardferry/shardferry/internal/mortal"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// commitBudget is how long the sync may block writes before it gives a commit
// up.
const commitBudget = 30 * time.Second

// process returns the node under test. watch runs beside each of its lives.
func process(stage *rehearse.Stage, plan Plan, dir string, log *slog.Logger, watch func(ctx context.Context, n *node.Node)) *mortal.Process {
	src, dst := rehearse.Operator(stage.Source), rehearse.Operator(stage.Destination)
	src.AppName, dst.AppName = nodeApp, nodeApp
	return mortal.New(node.Config{
		DataDir: dir, Source: src, Destination: dst,
		CommitBudget: commitBudget, Copiers: 2, BatchDocs: plan.BatchDocs, Logger: log,
	}, watch)
}
