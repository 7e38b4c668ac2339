package state

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Assign gives a shard to a node, which is to Take it. The shard's epoch rises, so
// that what an earlier worker still says is refused.
type Assign struct {
	Leg   int                `bson:"leg"`
	Shard shardferry.ShardID `bson:"shard"`
	Owner string             `bson:"owner"`
}

// Apply implements Command.
func (c Assign) Apply(s *Sync) error {
	sh, err := s.legShard("assign", c.Leg, c.Shard)
	if err != nil {
		return err
	}
	sh.Owner = c.Owner
	sh.nextEpoch()
	return nil
}

// Take begins a new epoch of a shard on the node that it is given to: its worker
// starts, or starts again.
type Take struct {
	Leg   int                `bson:"leg"`
	Shard shardferry.ShardID `bson:"shard"`
	Owner string             `bson:"owner"`
}

// Apply implements Command.
func (c Take) Apply(s *Sync) error {
	sh, err := s.legShard("take", c.Leg, c.Shard)
	if err != nil {
		return err
	}
	if sh.Owner != c.Owner {
		return fmt.Errorf("take: shard %s is given to %q, not to %q: %w", c.Shard, sh.Owner, c.Owner, shardferry.ErrStaleEpoch)
	}
	sh.nextEpoch()
	return nil
}

// nextEpoch ends what the shard's worker has had to say.
func (sh *Shard) nextEpoch() {
	sh.Epoch++
	sh.Ready, sh.Waiting = 0, nil
	sh.Events += sh.Now.Events
	sh.Repairs += sh.Now.Repairs
	sh.Now = Totals{}
}

// Sessions records the server sessions with which a worker is going to write,
// before its first write. The sessions of earlier epochs stay until Fenced.
type Sessions struct {
	Leg   int                `bson:"leg"`
	Shard shardferry.ShardID `bson:"shard"`
	Epoch uint64             `bson:"epoch"`
	IDs   []bson.Raw         `bson:"ids"`
}

// Apply implements Command.
func (c Sessions) Apply(s *Sync) error {
	sh, err := s.ownedShard("sessions", c.Leg, c.Shard, c.Epoch)
	if err != nil {
		return err
	}
	for _, id := range c.IDs {
		if !containsRaw(sh.Sessions, id) {
			sh.Sessions = append(slices.Clip(sh.Sessions), id)
		}
	}
	return nil
}

// Fenced records that the listed sessions have ended on the destination:
// nothing that was written through them can land any more.
type Fenced struct {
	Leg   int                `bson:"leg"`
	Shard shardferry.ShardID `bson:"shard"`
	Epoch uint64             `bson:"epoch"`
	IDs   []bson.Raw         `bson:"ids"`
}

// Apply implements Command.
func (c Fenced) Apply(s *Sync) error {
	sh, err := s.ownedShard("fenced", c.Leg, c.Shard, c.Epoch)
	if err != nil {
		return err
	}
	var left []bson.Raw
	for _, id := range sh.Sessions {
		if !containsRaw(c.IDs, id) {
			left = append(left, id)
		}
	}
	sh.Sessions = left
	return nil
}

// Report records what the workers of a node said.
type Report struct {
	Leg     int                 `bson:"leg"`
	Reports []shardferry.Report `bson:"reports"`
}

// Apply implements Command. Positions never go back; a total never shrinks.
func (c Report) Apply(s *Sync) error {
	for _, r := range c.Reports {
		if _, err := s.ownedShard("report", c.Leg, r.Shard, r.Epoch); err != nil {
			return err
		}
		for _, t := range r.Tasks {
			if at, ok := s.Leg.Tasks.find(t.ID); !ok || s.Leg.Tasks.At(at).Shard != r.Shard {
				return fmt.Errorf("report of shard %s: it has no copy task %d", r.Shard, t.ID)
			}
		}
	}
	tasks := s.Leg.Tasks.edit()
	for _, r := range c.Reports {
		sh, _ := s.ownedShard("report", c.Leg, r.Shard, r.Epoch)
		sh.take(r)
		for _, t := range r.Tasks {
			at, _ := tasks.find(t.ID)
			takeProgress(tasks.at(at), t)
		}
	}
	s.Leg.Tasks = tasks.end()
	s.Leg.advancePhase()
	return nil
}

func (sh *Shard) take(r shardferry.Report) {
	sh.Applied = shardferry.LaterOf(sh.Applied, r.Applied)
	sh.Seen = shardferry.LaterOf(sh.Seen, r.Seen)
	sh.Now.Events = max(sh.Now.Events, r.Events)
	sh.Now.Repairs = max(sh.Now.Repairs, r.Repairs)
	sh.Ready = max(sh.Ready, r.Ready)
	sh.Waiting, sh.Now.Held = r.Waiting, r.Held
	if r.Schema != nil && !sh.Resolved.Covers(*r.Schema) {
		sh.Schema = r.Schema
	}
}

func takeProgress(task *shardferry.CopyTask, p shardferry.TaskProgress) {
	if task.Done {
		return
	}
	if p.Docs >= task.Docs && len(p.Resume) > 0 {
		task.Resume = p.Resume
	}
	task.Docs, task.Bytes = max(task.Docs, p.Docs), max(task.Bytes, p.Bytes)
	task.Done = p.Done
}

func (s *Sync) legShard(what string, leg int, id shardferry.ShardID) (*Shard, error) {
	if leg != s.Leg.Number {
		return nil, fmt.Errorf("%s: leg %d is over: %w", what, leg, shardferry.ErrStaleEpoch)
	}
	i, ok := slices.BinarySearchFunc(s.Leg.Shards, id, func(sh Shard, id shardferry.ShardID) int {
		return cmp.Compare(sh.ID, id)
	})
	if !ok {
		return nil, fmt.Errorf("%s: unknown shard %q", what, id)
	}
	return &s.Leg.Shards[i], nil
}

func (s *Sync) ownedShard(what string, leg int, id shardferry.ShardID, epoch uint64) (*Shard, error) {
	sh, err := s.legShard(what, leg, id)
	if err != nil {
		return nil, err
	}
	if epoch != sh.Epoch {
		return nil, fmt.Errorf("%s of shard %s: epoch %d, want %d: %w", what, id, epoch, sh.Epoch, shardferry.ErrStaleEpoch)
	}
	return sh, nil
}

func compareShards(a, b Shard) int { return cmp.Compare(a.ID, b.ID) }

func compareTasks(a, b shardferry.CopyTask) int { return cmp.Compare(a.ID, b.ID) }

func compareCollections(a, b shardferry.Collection) int { return bytes.Compare(a.UUID[:], b.UUID[:]) }

func containsRaw(list []bson.Raw, want bson.Raw) bool {
	return slices.ContainsFunc(list, func(r bson.Raw) bool { return bytes.Equal(r, want) })
}
