package node

import (
	"context"
	"fmt"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
)

// progress is what this node knows. All of it comes from what is replicated,
// which is what was applied and acknowledged; only the source's own time comes
// from the source.
func (n *Node) progress(ctx context.Context) (api.Progress, error) {
	if err := n.wait(ctx); err != nil {
		return api.Progress{}, err
	}
	inCharge := n.coord.InCharge() // before the state is read
	s, _ := n.coord.Watch()
	p := api.Progress{
		State:       s.State,
		CanWrite:    s.State == shardferry.StateCommitted,
		Info:        info(s),
		TotalEvents: s.Totals.Events,
		MongosyncID: n.cfg.ID,
		Warnings:    []string{},
	}
	if inCharge {
		p.CoordinatorID = n.cfg.ID
	}
	p.Detail.Nodes = n.nodes()
	if s.State == shardferry.StateIdle {
		return p, nil
	}
	var why string
	p.CanCommit, why = n.canCommit(s)
	n.addLag(&p, s)
	p.Directions = directions(s)
	for _, ix := range s.Leg.Indexes {
		p.IndexBuilding.Total++
		if ix.Built {
			p.IndexBuilding.Built++
		}
	}
	p.Detail = n.detail(s)
	p.Detail.Nodes = n.nodes()
	if s.State == shardferry.StateRunning {
		p.Detail.Waiting = why
	}
	for _, sh := range s.Leg.Shards {
		p.TotalEvents += sh.Events + sh.Now.Events
	}
	for t := range s.Leg.Tasks.All() {
		p.CollectionCopy.Copied += t.Bytes
	}
	if s.Leg.Phase != state.PhasePlanning && s.Leg.Number == 1 {
		total := max(s.Leg.Bytes, p.CollectionCopy.Copied)
		if len(s.Job.Selection.Documents) > 0 && s.Leg.Tasks.Open() == 0 {
			total = p.CollectionCopy.Copied // until then nobody knows how many documents match
		}
		p.CollectionCopy.Estimated = &total
	}
	if !s.Job.Reversible && s.Leg.Phase != state.PhasePlanning {
		p.Warnings = append(p.Warnings, "there is no way back after the commit: the sync is not reversible")
	}
	p.Detail.Waits = n.waits(s)
	for _, w := range p.Detail.Waits {
		p.Warnings = append(p.Warnings, fmt.Sprintf("no progress for %d s: %s: %s", w.Seconds, w.What, w.Why))
	}
	if left, short, known := n.window.read(s.Leg.Number); known && len(s.Leg.Lost()) == 0 {
		seconds := int64(left / time.Second)
		p.Detail.OplogLeft = &seconds
		if short {
			p.Warnings = append(p.Warnings, windowWarning(left))
		}
	}
	for _, i := range s.Intrusions {
		p.Warnings = append(p.Warnings, i.Noticed.UTC().Format(time.RFC3339)+": "+i.String())
		for _, w := range i.Writes {
			p.Detail.ForeignWrites = append(p.Detail.ForeignWrites, api.ForeignWrite{NS: w.NS.String(), ID: w.ID, Op: w.Op, At: w.At})
		}
	}
	if s.Hold != "" {
		p.Warnings = append(p.Warnings, "paused by itself: "+s.Hold)
	}
	return p, nil
}

// waits returns what does not get through at the moment.
func (n *Node) waits(s *state.Sync) []api.Wait {
	if !s.Active() && !s.Working() && s.State != shardferry.StateCommitting {
		return nil
	}
	var out []api.Wait
	add := func(prefix string, w shardferry.Wait) {
		if lasts := time.Since(w.Since); lasts >= waitShown {
			out = append(out, api.Wait{What: prefix + w.What, Why: w.Why, Seconds: int64(lasts / time.Second)})
		}
	}
	for _, sh := range s.Leg.Shards {
		if sh.Waiting != nil && s.Active() {
			add("shard "+string(sh.ID)+": ", *sh.Waiting)
		}
	}
	for _, w := range n.coord.Waits() {
		add("", w)
	}
	return out
}

// waitShown is how long something must have waited to be shown: elections and
// lost connections pass sooner.
const waitShown = 5 * time.Second

func info(s *state.Sync) string {
	switch {
	case s.State == shardferry.StateCommitting:
		return "waiting for commit to complete"
	case s.State == shardferry.StateCommitted:
		return "commit completed"
	case s.State == shardferry.StateIdle:
		return ""
	case s.Leg.Phase == state.PhaseBuilding, s.Leg.Phase == state.PhaseStreaming:
		return "change event application"
	}
	return "collection copy"
}

// lag returns how far the resume point is behind the source, and false if that
// is not known.
func (n *Node) lag(s *state.Sync) (time.Duration, bool) {
	now, known := n.clock.read(s.Leg.Number)
	g := s.Leg.ResumePoint()
	return shardferry.Lag(now, g), known && !g.IsZero()
}

func (n *Node) addLag(p *api.Progress, s *state.Sync) {
	if lag, known := n.lag(s); known && s.Active() {
		seconds := int64(lag / time.Second)
		p.Lag, p.LagTimeSeconds = &api.Lag{Overall: seconds}, &seconds
	}
}

func directions(s *state.Sync) api.Directions {
	from, to := s.Job.Source, s.Job.Destination
	if s.Leg.Direction == state.Reverse {
		from, to = to, from
	}
	return api.Directions{Source: from.Name + ": " + from.Hosts, Destination: to.Name + ": " + to.Hosts}
}

func (n *Node) detail(s *state.Sync) api.Detail {
	d := api.Detail{
		Phase:       string(s.Leg.Phase),
		Direction:   string(s.Leg.Direction),
		Hold:        s.Hold,
		Repairs:     s.Totals.Repairs,
		ResumePoint: api.Time(s.Leg.ResumePoint()),
		TasksTotal:  s.Leg.Tasks.Len(),
		Reversible:  s.Job.Reversible,
		Shards:      []api.Shard{},
		Commit:      commit(s),
	}
	r := resumed(s)
	d.DocumentsCopied, d.TasksDone = r.Documents, r.TasksDone
	now, known := n.clock.read(s.Leg.Number)
	for _, sh := range s.Leg.Shards {
		d.Repairs += sh.Repairs + sh.Now.Repairs
		one := api.Shard{
			ID: string(sh.ID), Node: sh.Owner, Epoch: sh.Epoch, Events: sh.Events + sh.Now.Events,
			Applied: api.Time(sh.Applied), Seen: api.Time(sh.Seen), Held: sh.Now.Held,
		}
		if known {
			lag := int64(shardferry.Lag(now, sh.Applied) / time.Second)
			one.Lag = &lag
		}
		d.Shards = append(d.Shards, one)
	}
	return d
}

func commit(s *state.Sync) *api.Commit {
	cut, inProgress := s.Leg.Cutover, true
	if cut == nil {
		cut, inProgress = s.Last, false
	}
	if cut == nil {
		return nil
	}
	c := &api.Commit{
		Step: string(cut.Step), Failure: cut.Failure, InProgress: inProgress,
		Documents: cut.Verified.Documents, Differences: cut.Verified.Differences,
	}
	if !cut.BlockedAt.IsZero() && !cut.OpenedAt.IsZero() {
		c.BlockedMS = cut.OpenedAt.Sub(cut.StartedAt).Milliseconds()
	}
	return c
}
