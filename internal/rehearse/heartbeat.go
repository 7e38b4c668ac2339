package rehearse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A Heartbeat measures from outside how far the destination is behind: a
// document with the time is written to the source again and again, and read on
// the destination.
type Heartbeat struct {
	Every time.Duration // between two beats; default 50 ms

	mu   sync.Mutex
	lags []time.Duration
}

const pulse = "heartbeat"

// Run beats from one cluster to the other until ctx ends. A refused or lost
// beat is left out: the next one measures.
func (h *Heartbeat) Run(ctx context.Context, from, to *mongo.Client) error {
	every := h.Every
	if every <= 0 {
		every = 50 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	source := from.Database(metrics).Collection(pulse)
	destination := to.Database(metrics).Collection(pulse)
	for n := int64(0); ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		sent := time.Now()
		_, err := source.ReplaceOne(ctx, bson.D{{"_id", 0}}, bson.D{{"_id", 0}, {"n", n}, {"at", sent.UnixMicro()}}, options.Replace().SetUpsert(true))
		if err == nil {
			err = h.arrive(ctx, destination, n, sent)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked) && mongoconn.Classify(err) != mongoconn.Transient {
			return fmt.Errorf("heartbeat: %w", err)
		}
	}
}

// arrivalPause is the resolution of the measurement.
const arrivalPause = 5 * time.Millisecond

// arrivalLimit ends the wait for a beat that cannot arrive any more, because
// the flow has turned round.
const arrivalLimit = 30 * time.Second

func (h *Heartbeat) arrive(ctx context.Context, c *mongo.Collection, n int64, sent time.Time) error {
	for time.Since(sent) < arrivalLimit {
		var beat struct {
			N int64 `bson:"n"`
		}
		err := c.FindOne(ctx, bson.D{{"_id", 0}}).Decode(&beat)
		if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
			return err
		}
		if err == nil && beat.N >= n {
			h.add(time.Since(sent))
			return nil
		}
		if err := mongoconn.Sleep(ctx, arrivalPause); err != nil {
			return err
		}
	}
	return nil
}

func (h *Heartbeat) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lags = append(h.lags, d)
}

// Percentile returns the smallest lag that so many of a hundred beats did not
// exceed, and false if none arrived.
func (h *Heartbeat) Percentile(percent int) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lags) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(h.lags))
	rank := (percent*len(sorted) + 99) / 100 // rounded up
	return sorted[max(rank, 1)-1], true
}
