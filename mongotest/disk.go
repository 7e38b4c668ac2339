package mongotest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
)

// journalInterval is storage.journal.commitIntervalMs.
const journalInterval = 100 * time.Millisecond

// A diskRun is the directory of a running cluster. In memory there is none, and
// nothing happens.
type diskRun struct {
	dir  *disk.Dir
	sets []*replicaSet
}

// openDisk opens Options.DBPath. Nothing in it is changed unless all of it can be
// opened.
func (c *Cluster) openDisk(ctx context.Context) (_ *diskRun, err error) {
	d := &diskRun{}
	if c.opts.DBPath == "" {
		return d, nil
	}
	defer func() {
		if err != nil {
			d.close()
			err = fmt.Errorf("mongotest: %w", err)
		}
	}()
	d.dir, err = disk.OpenDir(c.opts.DBPath, disk.Shape{Shards: c.opts.Shards, Spares: c.opts.Spares, Beside: strings.Join(c.ReplicaSets(), " "), Version: c.opts.Version})
	if err != nil {
		return nil, err
	}
	for _, s := range c.sets() {
		log, err := d.dir.Log(s.id)
		if err != nil {
			return nil, err
		}
		s.disk = log
		d.sets = append(d.sets, s)
		if err := s.any().Engine().Open(log); err != nil {
			return nil, err
		}
	}
	for _, s := range d.sets {
		if err := s.disk.Resume(); err != nil {
			return nil, err
		}
		if _, err := s.any().Engine().Reclaim(ctx); err != nil {
			return nil, err
		}
		if err := s.disk.Unmap(); err != nil { // nobody has read anything yet
			return nil, err
		}
	}
	return d, nil
}

// fresh reports whether the cluster is a new one.
func (d *diskRun) fresh() bool { return d.dir == nil || d.dir.Fresh() }

// begin makes a new replica set, or takes up one that was there before.
func (s *replicaSet) begin(fresh bool) error {
	begin := s.any().Recover
	if fresh {
		begin = s.any().Initiate
	}
	if err := begin(); err != nil {
		return fmt.Errorf("mongotest: %s: %w", s.id, err)
	}
	return nil
}

// complete notes that clients may write from now on.
func (d *diskRun) complete(version string) error {
	if d.dir == nil {
		return nil
	}
	for _, s := range d.sets {
		if err := s.disk.Sync(); err != nil {
			return fmt.Errorf("mongotest: %w", err)
		}
	}
	if err := d.dir.Complete(version); err != nil {
		return fmt.Errorf("mongotest: %w", err)
	}
	return nil
}

// run writes the journals until ctx ends. A disk that fails ends the cluster:
// what it had acknowledged would otherwise be a lie after the next start.
func (d *diskRun) run(ctx context.Context, g *errgroup.Group) {
	for _, s := range d.sets {
		g.Go(func() error {
			if err := s.writeJournal(ctx); err != nil {
				return fmt.Errorf("mongotest: %w", err)
			}
			return nil
		})
	}
}

func (s *replicaSet) writeJournal(ctx context.Context) error {
	tick := time.NewTicker(journalInterval)
	defer tick.Stop()
	var kept bson.Timestamp
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.disk.Broken():
			return s.disk.Failure()
		case <-tick.C:
		}
		var err error
		if kept, err = s.any().Set().Engine().KeepClock(kept); err == nil {
			err = s.disk.Sync()
		}
		if err != nil {
			return err
		}
	}
}

// close ends the journals. What was read of them stays readable.
func (d *diskRun) close() {
	for _, s := range d.sets {
		_ = s.disk.Sync() // nobody waits for it
		s.disk.Close()
	}
	if d.dir != nil {
		d.dir.Close()
	}
}
