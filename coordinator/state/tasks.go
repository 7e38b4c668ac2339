package state

import (
	"fmt"
	"iter"
	"slices"
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Tasks are the copy tasks of a leg, sorted by ID. There may be a hundred thousand
// of them, of which a command changes a few, and readers keep what they have read.
// So nothing in them is ever changed: an edit makes other Tasks, which share with the
// former all parts that it has not touched.
type Tasks struct {
	parts   []*taskPart // all but the last have partTasks
	open    int         // tasks that are not done
	byShard map[shardferry.ShardID][]int32
}

type taskPart struct {
	tasks []shardferry.CopyTask
	open  int
}

// partTasks is how many tasks are copied when one of them changes. The list of parts
// is copied too.
const partTasks = 64

// NewTasks returns the given tasks, sorted. It keeps a copy.
func NewTasks(list []shardferry.CopyTask) Tasks {
	if len(list) == 0 {
		return Tasks{}
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, compareTasks)
	t := Tasks{byShard: map[shardferry.ShardID][]int32{}}
	for i := range list {
		t.byShard[list[i].Shard] = append(t.byShard[list[i].Shard], int32(i))
	}
	for part := range slices.Chunk(list, partTasks) {
		p := &taskPart{tasks: part}
		p.count()
		t.parts, t.open = append(t.parts, p), t.open+p.open
	}
	return t
}

func (p *taskPart) count() {
	p.open = 0
	for i := range p.tasks {
		if !p.tasks[i].Done {
			p.open++
		}
	}
}

// Len returns how many tasks there are.
func (t Tasks) Len() int {
	n := len(t.parts)
	if n == 0 {
		return 0
	}
	return (n-1)*partTasks + len(t.parts[n-1].tasks)
}

// Open returns how many are not done.
func (t Tasks) Open() int { return t.open }

// At returns the task in the given place.
func (t Tasks) At(i int) shardferry.CopyTask { return t.parts[i/partTasks].tasks[i%partTasks] }

// All goes through all tasks.
func (t Tasks) All() iter.Seq[shardferry.CopyTask] {
	return func(yield func(shardferry.CopyTask) bool) {
		for _, p := range t.parts {
			for _, task := range p.tasks {
				if !yield(task) {
					return
				}
			}
		}
	}
}

// Of goes through the tasks of one shard.
func (t Tasks) Of(shard shardferry.ShardID) iter.Seq[shardferry.CopyTask] {
	return func(yield func(shardferry.CopyTask) bool) {
		for _, i := range t.byShard[shard] {
			if !yield(t.At(int(i))) {
				return
			}
		}
	}
}

// List returns a copy of all tasks.
func (t Tasks) List() []shardferry.CopyTask { return slices.Collect(t.All()) }

// find returns the place of the task with the given ID.
func (t Tasks) find(id int64) (int, bool) {
	i := sort.Search(t.Len(), func(i int) bool { return t.At(i).ID >= id })
	return i, i < t.Len() && t.At(i).ID == id
}

// last returns the highest ID, 0 if there is no task.
func (t Tasks) last() int64 {
	if t.open == 0 && len(t.parts) == 0 {
		return 0
	}
	return t.At(t.Len() - 1).ID
}

// with returns t and more tasks, which get the IDs after its last.
func (t Tasks) with(more []shardferry.CopyTask) Tasks {
	if len(more) == 0 {
		return t
	}
	all, last := t.List(), t.last()
	for _, task := range more {
		last++
		task.ID = last
		all = append(all, task)
	}
	return NewTasks(all)
}

// finish returns t with those tasks done that which picks.
func (t Tasks) finish(which func(shardferry.CopyTask) bool) Tasks {
	e := t.edit()
	for i := range t.Len() {
		if task := t.At(i); !task.Done && which(task) {
			e.at(i).Done = true
		}
	}
	return e.end()
}

// An edit is a change of Tasks. It must not change a task's ID or shard.
type edit struct {
	Tasks
	mine map[int]bool // parts that nobody else has
}

func (t Tasks) edit() *edit { return &edit{Tasks: t} }

// at returns the task in the given place, to be changed.
func (e *edit) at(i int) *shardferry.CopyTask {
	if e.mine == nil {
		e.mine, e.parts = map[int]bool{}, slices.Clone(e.parts)
	}
	n := i / partTasks
	if !e.mine[n] {
		e.mine[n] = true
		e.parts[n] = &taskPart{tasks: slices.Clone(e.parts[n].tasks), open: e.parts[n].open}
	}
	return &e.parts[n].tasks[i%partTasks]
}

// end returns what t has become.
func (e *edit) end() Tasks {
	for n := range e.mine {
		p := e.parts[n]
		e.open -= p.open
		p.count()
		e.open += p.open
	}
	return e.Tasks
}

// MarshalBSONValue implements bson.ValueMarshaler: an array of documents.
func (t Tasks) MarshalBSONValue() (byte, []byte, error) {
	if t.Len() == 0 {
		return byte(bson.TypeNull), nil, nil
	}
	kind, data, err := bson.MarshalValue(t.List())
	return byte(kind), data, err
}

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (t *Tasks) UnmarshalBSONValue(kind byte, data []byte) error {
	var list []shardferry.CopyTask
	if err := (bson.RawValue{Type: bson.Type(kind), Value: data}).Unmarshal(&list); err != nil {
		return fmt.Errorf("copy tasks: %w", err)
	}
	*t = NewTasks(list)
	return nil
}
