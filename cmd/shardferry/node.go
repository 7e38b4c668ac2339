package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/peer"
)

// nodeSettings are those of one node among several.
type nodeSettings struct {
	Sync  settings     `yaml:",inline"`
	Peers peerSettings `yaml:",inline"`
}

// peerSettings say how a node meets the others.
type peerSettings struct {
	NodeID        string `yaml:"nodeID"`
	RaftAddr      string `yaml:"raftAddr"`
	AdvertiseAddr string `yaml:"advertiseAddr"`
	Join          string `yaml:"join"`
	NoVote        bool   `yaml:"noVote"`
	RaftTLSCert   string `yaml:"raftTLSCert"`
	RaftTLSKey    string `yaml:"raftTLSKey"`
	RaftCA        string `yaml:"raftCA"`
}

const defaultRaftAddr = "127.0.0.1:27183"

// ofStart are flags of sync that shardferry start has where there are several nodes.
var ofStart = []string{"irreversible", "keep-balancer", "with-users"}

func nodeFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "node-id", Usage: "the `NAME` of this node, which no other one has and which it keeps", EnvVars: []string{"SHARDFERRY_NODE_ID"}},
		&cli.StringFlag{Name: "raft-addr", Usage: "where to listen for other nodes", Value: defaultRaftAddr, EnvVars: []string{"SHARDFERRY_RAFT_ADDR"}},
		&cli.StringFlag{Name: "advertise-addr", Usage: "how other nodes reach that (default: the same)", EnvVars: []string{"SHARDFERRY_ADVERTISE_ADDR"}},
		&cli.StringFlag{Name: "join", Usage: "`ADDR` (--raft-addr) of any node of the cluster to join; a member stays one", EnvVars: []string{"SHARDFERRY_JOIN"}},
		&cli.BoolFlag{Name: "no-vote", Usage: "with --join: do work, and do not count for a majority"},
		&cli.StringFlag{Name: "raft-tls-cert", Usage: "PEM `FILE` of the certificate for other nodes, as server and as client; it may be changed while this runs", EnvVars: []string{"SHARDFERRY_RAFT_TLS_CERT"}},
		&cli.StringFlag{Name: "raft-tls-key", Usage: "PEM `FILE` of its key", EnvVars: []string{"SHARDFERRY_RAFT_TLS_KEY"}},
		&cli.StringFlag{Name: "raft-ca", Usage: "PEM `FILE` of the authorities of other nodes", EnvVars: []string{"SHARDFERRY_RAFT_CA"}},
		jsonFlag(),
	}
	for _, f := range settingsFlags() {
		name := f.Names()[0]
		if !slices.Contains(ofStart, name) && !slices.ContainsFunc(selectionFlags(), func(s cli.Flag) bool { return s.Names()[0] == name }) {
			flags = append(flags, f)
		}
	}
	return flags
}

func nodeCommand() *cli.Command {
	return &cli.Command{
		Name:  "node",
		Usage: "run one of three or five equal nodes, so that a sync outlives any one of them",
		UsageText: `shardferry node --node-id n1 --raft-addr 10.0.0.1:27183 --raft-tls-cert n1.pem --raft-tls-key n1.key --raft-ca ca.pem \
      --source-file source.uri --destination-file destination.uri
   shardferry cluster init                # once, on the first node
   shardferry node --node-id n2 --join 10.0.0.1:27183 ...
   shardferry start                       # on any node`,
		Flags: nodeFlags(),
		Action: func(c *cli.Context) error {
			s, err := readNodeSettings(c)
			if err != nil {
				return err
			}
			log, err := newLogger(os.Stderr, s.Sync.LogLevel, c.Bool("json"))
			if err != nil {
				return err
			}
			for _, flag := range visiblePasswords(s.Sync, os.Args) {
				log.Warn("a password on the command line is visible to everyone who can list processes here",
					"flag", "--"+flag, "instead", "--"+flag+"-file, or the variable SHARDFERRY_"+strings.ToUpper(flag))
			}
			return runNode(c, s, log)
		},
	}
}

func readNodeSettings(c *cli.Context) (nodeSettings, error) {
	var s nodeSettings
	if path := c.String("config"); path != "" {
		if err := loadFile(path, &s, ", nodeID, raftAddr, advertiseAddr, join, noVote, raftTLSCert, raftTLSKey, raftCA"); err != nil {
			return s, usage("%w", err)
		}
		if s.Sync.Irreversible || s.Sync.KeepBalancer || s.Sync.WithUsers || !s.Sync.Selection.IsZero() {
			return s, usage("--config %s: irreversible, keepBalancer, withUsers and what is selected belong to shardferry start where there are several nodes", path)
		}
	}
	if err := s.Sync.take(c); err != nil {
		return s, err
	}
	p := &s.Peers
	take(c, "node-id", c.String, &p.NodeID)
	take(c, "raft-addr", c.String, &p.RaftAddr)
	take(c, "advertise-addr", c.String, &p.AdvertiseAddr)
	take(c, "join", c.String, &p.Join)
	take(c, "no-vote", c.Bool, &p.NoVote)
	take(c, "raft-tls-cert", c.String, &p.RaftTLSCert)
	take(c, "raft-tls-key", c.String, &p.RaftTLSKey)
	take(c, "raft-ca", c.String, &p.RaftCA)
	switch {
	case p.NodeID == "":
		return s, usage("--node-id is missing: give each node a name of its own, which it keeps")
	case p.NoVote && p.Join == "":
		return s, usage("--no-vote belongs to --join: the first node of a cluster votes")
	}
	return s, nil
}

// port is what the node needs for the others.
func (p *peerSettings) port(insecure bool, log *slog.Logger) peer.Config {
	cfg := peer.Config{Listen: p.RaftAddr, Advertise: p.AdvertiseAddr, Insecure: insecure, Logger: log}
	if p.RaftTLSCert != "" || p.RaftTLSKey != "" || p.RaftCA != "" {
		cfg.TLS = &peer.Files{Certificate: p.RaftTLSCert, Key: p.RaftTLSKey, CA: p.RaftCA}
	}
	return cfg
}

func runNode(c *cli.Context, s nodeSettings, log *slog.Logger) error {
	s.Sync.limitMemory()
	n, err := node.New(node.Config{
		ID:           s.Peers.NodeID,
		DataDir:      s.Sync.DataDir,
		Peers:        &node.PeersConfig{Port: s.Peers.port(s.Sync.API.Insecure, log), Join: s.Peers.Join, NoVote: s.Peers.NoVote},
		Source:       mongoconn.Config{URI: s.Sync.Source},
		Destination:  mongoconn.Config{URI: s.Sync.Destination},
		CommitBudget: s.Sync.CommitBudget,
		GiveUpAfter:  s.Sync.GiveUpAfter,
		Memory:       int64(s.Sync.MemoryMiB) << 20,
		Lanes:        s.Sync.Lanes,
		Copiers:      s.Sync.Copiers,
		Logger:       log,
	})
	switch {
	case errors.Is(err, peer.ErrInsecure):
		return usage("--raft-addr %w (--raft-tls-cert, --raft-tls-key, --raft-ca; or --insecure)", err)
	case err != nil:
		return usage("%w", err)
	}
	server, err := s.Sync.API.server(n, n, log)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(c.Context, "tcp", s.Sync.API.APIAddr)
	if err != nil {
		return fmt.Errorf("--api-addr %s: %w (nothing was changed; give each node on a machine its own address)", s.Sync.API.APIAddr, err)
	}
	say := func(event, format string, args ...any) error {
		return printResult(c, map[string]string{"event": event, "node": s.Peers.NodeID, "api": l.Addr().String()}, format, args...)
	}
	if err := say("starting", "node %s: commands at %s, other nodes at %s, state in %s", s.Peers.NodeID, l.Addr(), s.Peers.RaftAddr, s.Sync.DataDir); err != nil {
		return errors.Join(err, l.Close())
	}
	told := c.Context
	g, ctx := errgroup.WithContext(context.WithoutCancel(told))
	g.Go(func() error {
		select {
		case <-told.Done():
			handOver(ctx, n, log)
			return context.Cause(told)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	g.Go(func() error { return n.Run(ctx) })
	g.Go(func() error { return server.Run(ctx, l) })
	g.Go(func() error {
		select {
		case <-n.Ready():
			return say("ready", "node %s is ready", s.Peers.NodeID)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return nodeOutcome(c, s, g.Wait())
}

// handOverLimit bounds how long a node that is told to stop gives its work away.
const handOverLimit = 10 * time.Second

// handOver gives away what a node does before it ends, so that nothing stands still.
func handOver(ctx context.Context, n *node.Node, log *slog.Logger) {
	ctx, cancel := context.WithTimeoutCause(ctx, handOverLimit, fmt.Errorf("not done within %v", handOverLimit))
	defer cancel()
	select {
	case <-n.Ready():
	default:
		return // it has nothing yet
	}
	if err := n.Drain(ctx); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "the node stops with work that others have to take over", slog.Any("error", err))
	}
}

// nodeOutcome turns how a node ended into what is said about it and its exit code.
func nodeOutcome(c *cli.Context, s nodeSettings, err error) error {
	kept := fmt.Sprintf("everything is kept in %s: give the same command again to continue", s.Sync.DataDir)
	switch {
	case errors.Is(context.Cause(c.Context), errInterrupted):
		return printResult(c, map[string]string{"event": "stopped", "node": s.Peers.NodeID}, "stopped; %s", kept)
	case errors.Is(err, coordinator.ErrInUse):
		return fmt.Errorf("%w (nothing was changed; stop that one, or give this node its own --data-dir)", err)
	case errors.Is(err, coordinator.ErrMembership), errors.Is(err, coordinator.ErrRemoved), errors.Is(err, coordinator.ErrDamaged), errors.Is(err, coordinator.ErrOtherNode):
		return err // it says what to do
	case errors.Is(err, shardferry.ErrNotLeader):
		return fmt.Errorf("%w: too few nodes run (%s)", err, kept)
	}
	return fmt.Errorf("%w (%s)", err, kept)
}
