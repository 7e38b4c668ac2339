package mortal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing/synctest"
	"time"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
)

// A Process is the node under test: one that runs, and those that ran before it
// on the same data directory. One goroutine owns it, but for Unplug.
type Process struct {
	cfg   node.Config
	watch func(ctx context.Context, n *node.Node)

	node   *node.Node
	plugs  [2]*plug
	cancel context.CancelCauseFunc
	ended  chan error
	kills  int
}

// errKilled is why a node's context ends.
var errKilled = errors.New("mortal: killed")

// ErrStuck reports a node that does not end although it was told to.
var ErrStuck = errors.New("the node does not come to an end")

// stopLimit is how long a node may take to end when it is told to.
const stopLimit = 5 * time.Minute

// New returns a Process whose nodes have this config. Nothing runs yet. watch
// runs beside each node until its ctx ends; nil is nothing.
func New(cfg node.Config, watch func(ctx context.Context, n *node.Node)) *Process {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Process{cfg: cfg, watch: watch}
}

// Node returns the node that runs, or ran last.
func (p *Process) Node() *node.Node { return p.node }

// Kills returns how often a node was killed.
func (p *Process) Kills() int { return p.kills }

// Start starts a node on the data directory.
func (p *Process) Start(ctx context.Context) error {
	cfg := p.cfg
	p.plugs = [2]*plug{newPlug(cfg.Source.Dialer), newPlug(cfg.Destination.Dialer)}
	cfg.Source.Dialer, cfg.Destination.Dialer = p.plugs[0], p.plugs[1]
	n, err := node.New(cfg)
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
		if p.watch != nil {
			p.watch(ctx, n)
		}
	}()
	go func() {
		err := n.Run(ctx)
		cancel(errKilled)
		<-watched
		ended <- err
	}()
	return nil
}

// Up makes sure that a node runs, as a service manager would. A node may end by
// itself when it cannot reach a cluster at its start.
func (p *Process) Up(ctx context.Context) error {
	select {
	case err := <-p.ended:
		p.ended <- err // Stop asks again, if no other node is started
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if mongoconn.Classify(err) != mongoconn.Transient {
			return fmt.Errorf("the node ended: %w", err)
		}
		p.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "the node ended and is started again", slog.Any("error", err))
		if err := mongoconn.Sleep(ctx, time.Second); err != nil {
			return err
		}
		return p.Start(ctx)
	default:
		return nil
	}
}

// Kill ends the node as kill -9 does: what is on its disk stays as it is at this
// moment, and nothing that it does afterwards counts.
func (p *Process) Kill() error {
	p.kills++
	synctest.Wait() // nobody is in the middle of a write to the disk
	image, err := readFiles(p.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("keep the data directory: %w", err)
	}
	if err := p.Stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(p.cfg.DataDir); err != nil {
		return fmt.Errorf("restore the data directory: %w", err)
	}
	return image.write(p.cfg.DataDir)
}

// Unplug lets nothing more through between the node and the clusters. Any
// goroutine may call it, one of the node's own too.
func (p *Process) Unplug() {
	for _, plug := range p.plugs {
		plug.pull()
	}
}

// Hold lets nothing pass between the node and the named clusters, in neither
// direction, until Release. What is sent meanwhile arrives then. A node that is
// started is not held.
func (p *Process) Hold(source, destination bool) {
	for i, holds := range [2]bool{source, destination} {
		if holds {
			p.plugs[i].hold()
		}
	}
}

// Release undoes Hold.
func (p *Process) Release() {
	for _, plug := range p.plugs {
		plug.release()
	}
}

// Stop ends the node, which can say nothing more, and waits for its end.
func (p *Process) Stop() error {
	p.Unplug()
	return p.Quit()
}

// Quit ends the node in an orderly way and waits for its end.
func (p *Process) Quit() error {
	p.cancel(errKilled)
	late := time.NewTimer(stopLimit)
	defer late.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err // for whoever asks again
		return nil
	case <-late.C:
		return fmt.Errorf("the node was told to stop %v ago: %w", stopLimit, ErrStuck)
	}
}
