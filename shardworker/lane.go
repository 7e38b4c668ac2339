package shardworker

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

const (
	laneDocs = 500 // of one batch
	// laneQueue lets a lane fill its next batch while it writes one.
	laneQueue = laneDocs
)

// A lane applies the events of its keys strictly in order. It is the only
// writer of these keys apart from copiers, which never change a document that
// exists.
type lane struct {
	queue  chan *job
	ledger *ledger
	events *account
	bytes  int // of one batch, but at least one event
	apply  *applier

	carry *job // taken from the queue, but too large for the last batch
}

// send gives the lane a job, and waits while its queue is full.
func (l *lane) send(ctx context.Context, j *job) error {
	select {
	case l.queue <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run applies batches until ctx ends or one fails for good.
func (l *lane) run(ctx context.Context) error {
	for {
		batch, err := l.collect(ctx)
		if err != nil {
			return err
		}
		shardferry.Reached(ctx, shardferry.StreamBuilt)
		before := l.apply.repairs
		if err := l.apply.batch(ctx, batch); err != nil {
			return fmt.Errorf("apply events up to %v: %w", batch[len(batch)-1].ev.time, err)
		}
		shardferry.Reached(ctx, shardferry.StreamApplied)
		l.finish(batch, l.apply.repairs-before)
		shardferry.Reached(ctx, shardferry.StreamMoved)
	}
}

// collect waits for one job and takes what else is there, never waiting for
// more.
func (l *lane) collect(ctx context.Context) ([]*job, error) {
	first := l.carry
	l.carry = nil
	if first == nil {
		select {
		case first = <-l.queue:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	batch, size := []*job{first}, first.size()
	for len(batch) < laneDocs {
		select {
		case j := <-l.queue:
			if size += j.size(); size > l.bytes {
				l.carry = j
				return batch, nil
			}
			batch = append(batch, j)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

func (l *lane) finish(batch []*job, repairs int) {
	var tickets []uint64
	for _, j := range batch {
		if j.done != nil {
			j.done()
			continue
		}
		tickets = append(tickets, j.ticket)
		l.events.release(j.ev.held)
	}
	l.ledger.finish(tickets, repairs)
}

// rounds cuts a batch so that each round holds at most one job per key, in
// order. A whole image or a delete makes the jobs right before it on the same
// documentKey superfluous, where no other document of the same _id stands
// between. Of a capped collection no job moves before another one.
//
// Under a collation the _ids of a lane may be held for equal, or may not. Two
// that exist at the same time are not; so only what follows the delete of another
// one has to come in a later round than that.
func rounds(batch []*job) [][]*job {
	type key struct {
		uuid shardferry.UUID
		hash uint64
	}
	chains := map[key][]*job{}
	dropped := map[*job]bool{}
	for _, j := range batch {
		k := key{j.coll.UUID, j.hash}
		chain := chains[k]
		for j.final() && !j.coll.Capped && len(chain) > 0 && chain[len(chain)-1].replacedBy(j) {
			dropped[chain[len(chain)-1]] = true
			chain = chain[:len(chain)-1]
		}
		chains[k] = append(chain, j)
	}
	var out [][]*job
	next := map[key]int{}
	deleted := map[key]int{} // after the round of the latest delete
	for _, j := range batch {
		if dropped[j] {
			continue
		}
		k := key{j.coll.UUID, j.hash}
		at := next[k]
		if j.coll.Collated && !j.coll.Capped {
			lane := k
			k.hash = j.id
			if at = next[k]; j.ev.kind == kindDelete {
				deleted[lane] = max(deleted[lane], at+1)
			} else {
				at = max(at, deleted[lane])
			}
		}
		if at == len(out) {
			out = append(out, nil)
		}
		out[at] = append(out[at], j)
		next[k] = at + 1
	}
	return out
}

// final reports whether the job leaves nothing of what its key held before.
func (j *job) final() bool {
	return j.done == nil && (j.ev.kind == kindPut || j.ev.kind == kindDelete)
}

// replacedBy reports whether nothing of j is left once later is applied. A put says
// so of documents that have its full key. Where the documentKey does not hold the
// destination's shard key, the document before may have had another one: then only a
// delete reaches it.
func (j *job) replacedBy(later *job) bool {
	return j.done == nil && string(j.ev.key) == string(later.ev.key) &&
		(later.ev.kind == kindDelete || holdsShardKey(later.coll, later.ev.key))
}

func holdsShardKey(coll *shardferry.Collection, key bson.Raw) bool {
	all := true
	eachField(coll.ShardKey, func(name string, _ bson.RawValue) {
		_, ok := field(key, name)
		all = all && ok
	})
	return all
}
