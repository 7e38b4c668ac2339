package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// ErrInUse reports that another process works with the data directory.
var ErrInUse = errors.New("the data directory is in use by another process")

const (
	snapshotsKept = 2

	// answerWithin bounds what one node waits for another. A node that is stopped
	// still takes connections; only this tells it from one that is busy.
	answerWithin = time.Second
)

// networked is a transport whose end is also that of its connections.
type networked struct{ *raft.NetworkTransport }

// Close implements io.Closer.
func (n networked) Close() error {
	n.CloseStreams()
	return n.NetworkTransport.Close()
}

type stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	transport raft.Transport
	voters    []raft.Server
	closers   []io.Closer
}

func (s *stores) close() error {
	var err error
	for _, c := range s.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

func openStores(ctx context.Context, cfg Config) (*stores, error) {
	st := &stores{transport: cfg.Transport, voters: cfg.Voters}
	if cfg.Peers != nil {
		t := networked{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: cfg.Peers.Stream(ctx), MaxPool: 3, Timeout: answerWithin, Logger: raftLogger(cfg.Logger),
			// No pipelines (hashicorp/raft 1.7.3, pipelineReplicate): once a follower has
			// answered that it has another leader, nobody takes answers any more, and what
			// is sent after that waits for ever; the node would not come to its end either.
			MaxRPCsInFlight: 1,
		})}
		st.transport = t.NetworkTransport
		st.closers = append(st.closers, t)
	}
	if st.transport == nil {
		_, t := raft.NewInmemTransport(raft.ServerAddress(cfg.ID))
		st.transport = t
		st.closers = append(st.closers, t)
	}
	if len(st.voters) == 0 {
		st.voters = []raft.Server{{ID: raft.ServerID(cfg.ID), Address: st.transport.LocalAddr()}}
	}
	if cfg.Dir == "" {
		mem := raft.NewInmemStore()
		st.logs, st.stable, st.snapshots = mem, mem, raft.NewInmemSnapshotStore()
		return st, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	bolt, err := openBolt(filepath.Join(cfg.Dir, "raft.db"))
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	st.closers = append(st.closers, bolt)
	st.logs, st.stable = bolt, bolt
	st.snapshots, err = raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, hclog.NewNullLogger())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots in %s: %w", cfg.Dir, err), st.close())
	}
	return st, nil
}

func raftConfig(cfg Config, notify chan<- bool) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(cfg.ID)
	rc.NotifyCh = notify
	rc.Logger = raftLogger(cfg.Logger)
	rc.SnapshotThreshold = 2048
	rc.TrailingLogs = 1024
	switch {
	case cfg.Peers != nil:
		// A dead leader is missed after one to two of the first, and another leads
		// after one of the second more. Nodes whose processors are busy must still
		// answer within them.
		rc.HeartbeatTimeout, rc.ElectionTimeout = 600*time.Millisecond, 600*time.Millisecond
		rc.LeaderLeaseTimeout = 500 * time.Millisecond
		// Whoever is removed finds out and says so, instead of falling silent.
		rc.ShutdownOnRemove = false
	case len(cfg.Voters) <= 1:
		// Nobody else can be leader, so there is nothing to wait for.
		rc.HeartbeatTimeout, rc.ElectionTimeout = 50*time.Millisecond, 50*time.Millisecond
		rc.LeaderLeaseTimeout = 50 * time.Millisecond
	}
	return rc
}

// raftLogger passes raft's warnings and errors on at debug level: what they mean
// for a sync is logged by the coordinator in its own words.
func raftLogger(l *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Warn, Output: slogWriter{l}})
}

type slogWriter struct{ l *slog.Logger }

func (w slogWriter) Write(p []byte) (int, error) {
	w.l.Debug("raft", slog.String("text", string(bytes.TrimSpace(p))))
	return len(p), nil
}
