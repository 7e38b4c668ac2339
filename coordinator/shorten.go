package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// Raft looks for a snapshot to make every two to four minutes. A large cluster
// writes hundreds of megabytes of reports in that time, and a log never gives
// space back to the file system.
const (
	logLook = time.Second

	// logBytes is how much may be applied before there is a snapshot.
	logBytes = 64 << 20

	// snapshotPause is how soon one that failed is tried again: each costs as much as
	// one that works.
	snapshotPause = 30 * time.Second
)

// shorten makes a snapshot, after which raft drops all but the last entries of its
// log, whenever so many bytes of commands have been applied since the one before.
func (c *Coordinator) shorten(ctx context.Context) error {
	tick := time.NewTicker(logLook)
	defer tick.Stop()
	kept := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		bytes := c.fsm.volume()
		if bytes-kept < c.cfg.LogBytes {
			continue
		}
		err := c.settle(ctx, func() raft.Future { return c.raft.Snapshot() })
		if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && ctx.Err() == nil {
			c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "no snapshot: the log grows on", slog.Any("error", err))
			if err := waitFor(ctx, nil, snapshotPause); err != nil {
				return err
			}
			continue
		}
		kept = bytes
	}
}
