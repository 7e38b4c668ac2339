package coordinator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrInUse reports that another process works with the data directory.
var ErrInUse = errors.New("the data directory is in use by another process")

const snapshotsKept = 2

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

func openStores(cfg Config) (*stores, error) {
	st := &stores{transport: cfg.Transport, voters: cfg.Voters}
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
	path := filepath.Join(cfg.Dir, "raft.db")
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: time.Second}})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
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
	if len(cfg.Voters) <= 1 {
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
