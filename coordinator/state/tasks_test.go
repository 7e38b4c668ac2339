package state_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var someShards = []shardferry.ShardID{"", "s0", "s1", "s2"}

func anyTasks(max int) *rapid.Generator[[]shardferry.CopyTask] {
	return rapid.Custom(func(t *rapid.T) []shardferry.CopyTask {
		list := make([]shardferry.CopyTask, rapid.IntRange(0, max).Draw(t, "tasks"))
		for i := range list {
			list[i] = shardferry.CopyTask{
				ID: int64(2*i + 1), UUID: shardferry.UUID{byte(i % 3)},
				Shard: rapid.SampledFrom(someShards).Draw(t, "shard"), Done: rapid.Bool().Draw(t, "done"),
			}
		}
		return list
	})
}

// Tasks hold what a plain list would, in parts or not, and come back from BSON as
// they were.
func TestTasksAreAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := anyTasks(200).Draw(t, "list")
		tasks := state.NewTasks(list)
		require.Equal(t, len(list), tasks.Len())
		require.Equal(t, list, append([]shardferry.CopyTask{}, tasks.List()...))
		open := 0
		for i, task := range list {
			require.Equal(t, task, tasks.At(i))
			if !task.Done {
				open++
			}
		}
		require.Equal(t, open, tasks.Open())
		for _, shard := range someShards {
			of := slices.DeleteFunc(slices.Clone(list), func(task shardferry.CopyTask) bool { return task.Shard != shard })
			require.Equal(t, of, append([]shardferry.CopyTask{}, slices.Collect(tasks.Of(shard))...))
		}
		type holder struct{ Tasks state.Tasks }
		b, err := bson.Marshal(holder{tasks})
		require.NoError(t, err)
		var back holder
		require.NoError(t, bson.Unmarshal(b, &back))
		require.Equal(t, tasks, back.Tasks)
	})
}

// A report changes a few tasks of very many. Whoever has read them before goes on
// seeing what was then.
func TestReportsOfManyTasksLeaveEarlierViewsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := anyTasks(300).Filter(func(l []shardferry.CopyTask) bool { return len(l) > 0 }).Draw(t, "list")
		for i := range model {
			model[i].Shard, model[i].Done = "s0", false
		}
		s := &state.Sync{State: shardferry.StateRunning, Leg: state.Leg{
			Number: 1, Phase: state.PhaseCopying, Tasks: state.NewTasks(model), Shards: []state.Shard{{ID: "s0", Epoch: 1}},
		}}
		for range rapid.IntRange(1, 20).Draw(t, "reports") {
			view, seen := s.Clone(), slices.Clone(model)
			r := shardferry.Report{Shard: "s0", Epoch: 1}
			for range rapid.IntRange(0, 5).Draw(t, "tasks") {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "task")
				p := shardferry.TaskProgress{ID: model[i].ID, Docs: model[i].Docs + 1, Done: rapid.Bool().Draw(t, "done")}
				r.Tasks = append(r.Tasks, p)
				if !model[i].Done {
					model[i].Docs, model[i].Done = p.Docs, p.Done
				}
			}
			require.NoError(t, state.Report{Leg: 1, Reports: []shardferry.Report{r}}.Apply(s))
			require.Equal(t, model, s.Leg.Tasks.List())
			require.Equal(t, state.NewTasks(model), s.Leg.Tasks)
			require.Equal(t, seen, view.Leg.Tasks.List())
			copying := slices.ContainsFunc(model, func(task shardferry.CopyTask) bool { return !task.Done })
			require.Equal(t, copying, s.Leg.Phase == state.PhaseCopying)
		}
	})
}

// What a report and a view cost does not grow with what there is to copy.
func TestAReportDoesNotCopyAllTasks(t *testing.T) {
	list := make([]shardferry.CopyTask, 100_000)
	for i := range list {
		list[i] = shardferry.CopyTask{ID: int64(i + 1), Shard: "s0"}
	}
	s := &state.Sync{State: shardferry.StateRunning, Leg: state.Leg{
		Number: 1, Phase: state.PhaseCopying, Tasks: state.NewTasks(list), Shards: []state.Shard{{ID: "s0", Epoch: 1}},
	}}
	const reports = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range reports {
		p := shardferry.TaskProgress{ID: int64(i*500 + 1), Docs: 1}
		require.NoError(t, state.Report{Leg: 1, Reports: []shardferry.Report{{Shard: "s0", Epoch: 1, Tasks: []shardferry.TaskProgress{p}}}}.Apply(s))
		_ = s.Clone()
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/reports, uint64(40_000), "all tasks are 17 MB")
}
