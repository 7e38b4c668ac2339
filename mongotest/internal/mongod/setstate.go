package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// keep writes what is known of the set to the disk.
func (s *ReplicaSet) keep() error {
	l := s.line()
	if !l.engine.Durable() {
		return nil
	}
	doc := s.stateOf(l)
	err := l.engine.Update(func(tx *storage.Tx) error {
		tx.SetState(setState, doc)
		return nil
	})
	if err != nil {
		return err
	}
	return l.engine.Sync()
}

func (s *ReplicaSet) stateOf(l *line) bson.Raw {
	fcv := s.members[0].params.get(paramFCV)
	l.block.mu.Lock()
	defer l.block.mu.Unlock()
	return value.D("id", s.id, "writeBlock", l.block.on, "reason", l.block.reason, "fcv", fcv, "wide", s.wide.state())
}

// succeed makes l the line that is on the disk, in place of an older one. A disk
// that fails ends the cluster.
func (s *ReplicaSet) succeed(l, old *line) {
	if l == old || !old.engine.Durable() || l.engine.Succeed(old.engine) != nil {
		return
	}
	doc := s.stateOf(l)
	_ = l.engine.Update(func(tx *storage.Tx) error { // see above
		tx.SetState(setState, doc)
		for _, sess := range l.sessions.list() {
			if sess.kept {
				tx.SetState(sessionStates+sess.key, sess.history())
			}
		}
		return nil
	})
}

// resume undoes keep, and begins a new term.
func (s *ReplicaSet) resume(kept bson.Raw) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, _ = kept.Lookup("id").ObjectIDOK()
	l := s.line()
	l.block.on, _ = kept.Lookup("writeBlock").BooleanOK()
	l.block.reason, _ = kept.Lookup("reason").StringValueOK()
	fcv, _ := kept.Lookup("fcv", "version").StringValueOK()
	if wide, ok := kept.Lookup("wide").DocumentOK(); ok {
		s.wide.restore(wide)
	}
	s.term = l.log.Term() + 1
	l.log.SetTerm(s.term)
	leader := s.primaries()[0] // as it has been made
	leader.topo.lead(leader.cfg.Name, s.term)
	for _, m := range s.members {
		m.params.setFCV(fcv)
		if m != leader {
			m.topo.follow(leader.cfg.Name, s.term)
		}
	}
}

// state is what restore takes.
func (w *setWide) state() bson.Raw {
	var queries []any
	for _, q := range w.queries.List() {
		pairs := []any{"hash", q.Hash, "settings", q.Settings}
		if q.Query != nil {
			pairs = append(pairs, "query", q.Query)
		}
		queries = append(queries, value.D(pairs...))
	}
	var parameters []any
	w.parameters.mu.Lock()
	for name, set := range w.parameters.set {
		parameters = append(parameters, name, set)
	}
	w.parameters.mu.Unlock()
	pairs := []any{"queries", value.A(queries...), "parameters", value.D(parameters...)}
	c := &w.concerns
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.updated.IsZero() {
		return value.D(pairs...)
	}
	pairs = append(pairs, "readConcern", c.read, "updated", c.updated, "at", c.at)
	if c.write != nil {
		pairs = append(pairs, "writeConcern", c.write)
	}
	return value.D(pairs...)
}

// restore makes the settings those of a state. Nobody uses them yet.
func (w *setWide) restore(state bson.Raw) {
	queries, _ := state.Lookup("queries").ArrayOK()
	for _, v := range value.Elements(bson.Raw(queries)) {
		d := v.Document()
		s := planning.Setting{Settings: d.Lookup("settings").Document()}
		s.Hash, _ = d.Lookup("hash").StringValueOK()
		s.Query, _ = d.Lookup("query").DocumentOK()
		w.queries.Put(s)
	}
	parameters, _ := state.Lookup("parameters").DocumentOK()
	w.parameters.set = map[string]bson.Raw{}
	for name, v := range value.Elements(parameters) {
		w.parameters.set[name] = v.Document()
	}
	c := &w.concerns
	c.read, _ = state.Lookup("readConcern").StringValueOK()
	c.write, _ = state.Lookup("writeConcern").DocumentOK()
	c.updated.T, c.updated.I, _ = state.Lookup("updated").TimestampOK()
	c.at, _ = state.Lookup("at").TimeOK()
}
