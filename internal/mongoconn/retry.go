package mongoconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	firstPause = 50 * time.Millisecond
	longPause  = 5 * time.Second
)

// A Retrier tries operations until they succeed. Its zero value gives up at once.
type Retrier struct {
	Log *slog.Logger // may be nil

	// GiveUpAfter is how long one operation is tried without success.
	GiveUpAfter time.Duration

	// Waits is told what does not get through at the moment; it may be nil.
	Waits *Waits
}

// Do runs op until it succeeds, fails with an error after which it is no use to
// send it again, has been tried for too long (ErrGaveUp), or ctx ends. Pauses grow
// from 50 ms to 5 s. The first and then each long pause is logged with what is
// being done, so that an operator sees why nothing moves.
func (r Retrier) Do(ctx context.Context, what string, op func(context.Context) error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstPause, longPause
	patience := Patience{Limit: r.GiveUpAfter}
	var waiting *Waiting
	defer func() { waiting.End() }()
	for {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), err))
		}
		if enough := patience.Failed(err); enough != nil {
			return fmt.Errorf("%s: %w", what, enough)
		}
		if waiting == nil {
			waiting = r.Waits.Begin(what)
		}
		waiting.Because(err)
		pause := b.NextBackOff()
		if r.Log != nil && (pause < 2*firstPause || pause >= longPause/2) {
			r.Log.LogAttrs(ctx, slog.LevelWarn, "retrying after a transient error",
				slog.String("operation", what), slog.Duration("pause", pause), slog.Any("error", err))
		}
		if err := Sleep(ctx, pause); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// retryFor is how long Retry tries.
const retryFor = time.Minute

// Retry is for a step of something larger that is tried again as a whole: it
// bridges what passes soon. What has not passed within a minute it returns as it
// is, and leaves the decision to its caller.
func Retry(ctx context.Context, log *slog.Logger, what string, op func(context.Context) error) error {
	var last error
	err := Retrier{Log: log, GiveUpAfter: retryFor}.Do(ctx, what, func(ctx context.Context) error {
		last = op(ctx)
		return last
	})
	if errors.Is(err, ErrGaveUp) {
		return fmt.Errorf("%s: %w", what, last)
	}
	return err
}

// ErrGaveUp reports that something was tried for as long as it should be, or as
// often. Nothing is lost by it: what is kept goes on when it is started again.
var ErrGaveUp = errors.New("gave up")

// doubts is how often in a row something doubtful is tried again.
const doubts = 10

// A Patience decides for how long one goes on with what keeps failing. It is used
// by one goroutine.
type Patience struct {
	// Limit is how long there may be no progress.
	Limit time.Duration

	since    time.Time // of the first failure since there was progress
	doubtful int       // failures in a row
}

// Progress notes that something got through.
func (p *Patience) Progress() { p.since, p.doubtful = time.Time{}, 0 }

// Failed notes a failure. It returns nil if one should try again, otherwise the
// error to end with.
func (p *Patience) Failed(err error) error {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	switch Classify(err) {
	case Transient:
		p.doubtful = 0
		if lasted := time.Since(p.since); lasted >= p.Limit {
			return fmt.Errorf("%w after %v without progress: %w", ErrGaveUp, lasted.Round(time.Second), err)
		}
		return nil
	case Doubtful:
		if p.doubtful++; p.doubtful > doubts {
			return fmt.Errorf("%w after %d tries: %w", ErrGaveUp, p.doubtful, err)
		}
		return nil
	case None, Repairable, Permanent:
	}
	return err
}

// Again is Failed for whoever starts something larger anew, such as a worker, a
// stream or a step of a procedure: for that what is repairable is like what is
// doubtful, because starting anew is the repair.
func (p *Patience) Again(err error) error {
	enough := p.Failed(err)
	if enough == nil || Classify(err) != Repairable {
		return enough
	}
	if p.doubtful++; p.doubtful > doubts {
		return fmt.Errorf("%w after %d tries: %w", ErrGaveUp, p.doubtful, err)
	}
	return nil
}

// Sleep waits for d or until ctx ends, and then returns the cause.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
