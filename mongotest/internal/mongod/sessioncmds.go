package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func sessionCommands() map[string]*handler {
	return map[string]*handler{
		"startSession":             {runStartSession, 0},
		"refreshSessions":          {runRefreshSessions, 0},
		"endSessions":              {runEndSessions, 0},
		"killSessions":             {runKillSessions, 0},
		"killAllSessions":          {runKillAllSessions, 0},
		"killAllSessionsByPattern": {runKillAllSessionsByPattern, 0},
		"prepareTransaction":       {runPrepareTransaction, isWrite | txnOK | endsTxn},
		"commitTransaction":        {runCommitTransaction, isWrite | txnOK | endsTxn},
		"abortTransaction":         {runAbortTransaction, isWrite | txnOK | endsTxn},
	}
}

func runStartSession(_ context.Context, op *operation) (bson.Raw, error) {
	id := value.NewUUID()
	lsid := value.D("id", id.Binary())
	if _, err := op.line.sessions.use(lsid, op.req.Client); err != nil {
		return nil, err
	}
	return value.D("id", lsid, "timeoutMinutes", sessionTimeoutMins), nil
}

// sessionKeys returns the keys of the sessions that a command lists.
func (op *operation) sessionKeys() (map[string]bool, error) {
	a := op.args()
	keys := map[string]bool{}
	for _, lsid := range a.docs(op.req.Name) {
		key, err := sessionKey(lsid)
		if err != nil {
			return nil, err
		}
		keys[key] = true
	}
	return keys, a.err
}

func runRefreshSessions(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	for _, lsid := range a.docs(op.req.Name) {
		if _, err := op.line.sessions.use(lsid, op.req.Client); err != nil {
			return nil, err
		}
	}
	return value.D(), a.err
}

// runEndSessions forgets sessions that a client no longer needs.
func runEndSessions(ctx context.Context, op *operation) (bson.Raw, error) {
	return op.killChosen(ctx, true, func(s *session, keys map[string]bool) bool { return keys[s.key] })
}

// runKillSessions ends everything that runs in the given sessions, and returns
// when nothing does; without sessions, in all of the client's user.
func runKillSessions(ctx context.Context, op *operation) (bson.Raw, error) {
	return op.killChosen(ctx, false, func(s *session, keys map[string]bool) bool {
		if len(keys) == 0 {
			return s.user == op.req.Client.User
		}
		return keys[s.key]
	})
}

// killChosen kills what runs in the chosen sessions and, with forget, removes
// the sessions.
func (op *operation) killChosen(ctx context.Context, forget bool, choose func(*session, map[string]bool) bool) (bson.Raw, error) {
	keys, err := op.sessionKeys()
	if err != nil {
		return nil, err
	}
	return op.killWhere(ctx, forget, func(s *session) bool { return choose(s, keys) })
}

func (op *operation) killWhere(ctx context.Context, forget bool, choose func(*session) bool) (bson.Raw, error) {
	n := op.node
	cause := mongoerr.New(mongoerr.Interrupted, "operation was interrupted because its session was killed")
	err := n.ops.interrupt(ctx, cause, func(r *running) bool {
		return r != op.running && r.op.session != nil && choose(r.op.session)
	})
	if err != nil {
		return nil, err
	}
	for _, s := range op.line.sessions.list() {
		if !choose(s) {
			continue
		}
		if err := op.killOne(ctx, s, forget); err != nil {
			return nil, err
		}
	}
	return value.D(), nil
}

// killOne aborts a session's transaction and kills its cursors, and with forget
// removes it; but one that is prepared stays.
func (op *operation) killOne(ctx context.Context, s *session, forget bool) error {
	if err := s.checkOut(ctx); err != nil {
		return err
	}
	defer s.checkIn()
	ended := s.interrupt(op.node)
	op.node.cursors.killWhere(func(c *cursor) bool { return c.session == s.key })
	if forget && ended {
		return op.line.forget(s)
	}
	return nil
}

// runKillAllSessions is killAllSessions: [{user, db}, ...], all without any.
func runKillAllSessions(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	users := map[string]bool{}
	for _, u := range a.docs(op.req.Name) {
		name, _ := u.Lookup("user").StringValueOK()
		db, _ := u.Lookup("db").StringValueOK()
		users[db+"."+name] = true
	}
	if a.err != nil {
		return nil, a.err
	}
	return op.killWhere(ctx, false, func(s *session) bool { return len(users) == 0 || users[s.user] })
}

// runKillAllSessionsByPattern is killAllSessionsByPattern: [{lsid}|{users}, ...].
func runKillAllSessionsByPattern(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	patterns := a.docs(op.req.Name)
	if a.err != nil {
		return nil, a.err
	}
	return op.killWhere(ctx, false, func(s *session) bool {
		for _, p := range patterns {
			if matchesPattern(s, p) {
				return true
			}
		}
		return len(patterns) == 0
	})
}

func matchesPattern(s *session, p bson.Raw) bool {
	if lsid, ok := p.Lookup("lsid").DocumentOK(); ok {
		key, err := sessionKey(lsid)
		return err == nil && key == s.key
	}
	if users, ok := p.Lookup("users").ArrayOK(); ok {
		for _, v := range value.Elements(bson.Raw(users)) {
			d, _ := v.DocumentOK()
			name, _ := d.Lookup("user").StringValueOK()
			db, _ := d.Lookup("db").StringValueOK()
			if s.user == db+"."+name {
				return true
			}
		}
		return false
	}
	return true
}
