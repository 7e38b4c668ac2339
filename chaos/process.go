package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing/synctest"
	"time"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// A process is the node under test: one that runs, and those that ran before it
// on the same data directory. One goroutine owns it.
type process struct {
	stage *rehearse.Stage
	plan  Plan
	dir   string
	log   *slog.Logger
	watch func(ctx context.Context, n *node.Node) // runs beside each node until ctx ends

	node   *node.Node
	plugs  [2]*plug
	cancel context.CancelCauseFunc
	ended  chan error
	kills  int
}

var errKilled = errors.New("chaos: killed")

// commitBudget is how long the sync may block writes before it gives a commit
// up.
const commitBudget = 30 * time.Second

// stopLimit is how long a node may take to end when it is told to.
const stopLimit = 5 * time.Minute

// start starts a node on the data directory.
func (p *process) start(ctx context.Context) error {
	src, dst := rehearse.Operator(p.stage.Source), rehearse.Operator(p.stage.Destination)
	p.plugs = [2]*plug{newPlug(src.Dialer), newPlug(dst.Dialer)}
	src.Dialer, dst.Dialer = p.plugs[0], p.plugs[1]
	src.AppName, dst.AppName = nodeApp, nodeApp
	n, err := node.New(node.Config{
		DataDir: p.dir, Source: src, Destination: dst,
		CommitBudget: commitBudget, Copiers: 2, BatchDocs: p.plan.BatchDocs, Logger: p.log,
	})
	if err != nil {
		return fmt.Errorf("make a node: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	p.cancel = cancel
	ended := make(chan error, 1)
	p.node, p.ended = n, ended
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx, n)
	}()
	go func() {
		err := n.Run(ctx)
		cancel(errKilled)
		<-watched
		ended <- err
	}()
	return nil
}

// up makes sure that a node runs, as a service manager would. A node may end by
// itself when it cannot reach a cluster at its start.
func (p *process) up(ctx context.Context) error {
	select {
	case err := <-p.ended:
		p.ended <- err // stop asks again, if no other node is started
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if mongoconn.Classify(err) != mongoconn.Transient {
			return fmt.Errorf("the node ended: %w", err)
		}
		p.log.LogAttrs(ctx, slog.LevelInfo, "the node ended and is started again", slog.Any("error", err))
		if err := mongoconn.Sleep(ctx, time.Second); err != nil {
			return err
		}
		return p.start(ctx)
	default:
		return nil
	}
}

// kill ends the node as kill -9 does: what is on its disk stays as it is at this
// moment, and nothing that it does afterwards counts.
func (p *process) kill() error {
	p.kills++
	synctest.Wait() // nobody is in the middle of a write to the disk
	image, err := readFiles(p.dir)
	if err != nil {
		return fmt.Errorf("keep the data directory: %w", err)
	}
	if err := p.stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("restore the data directory: %w", err)
	}
	return image.write(p.dir)
}

// stop ends the node and waits for its end.
func (p *process) stop() error {
	for _, plug := range p.plugs {
		plug.pull()
	}
	p.cancel(errKilled)
	late := time.NewTimer(stopLimit)
	defer late.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err // for whoever asks again
		return nil
	case <-late.C:
		return fmt.Errorf("the node was told to stop %v ago: %w", stopLimit, errStuck)
	}
}

// files are the contents of a directory by relative path.
type files map[string][]byte

func readFiles(dir string) (files, error) {
	all := files{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = b
		return err
	})
	return all, err
}

func (f files) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil { // there may be no file yet
		return fmt.Errorf("restore the data directory: %w", err)
	}
	for rel, b := range f {
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("restore the data directory: %w", err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return fmt.Errorf("restore the data directory: %w", err)
		}
	}
	return nil
}
