package mongod

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxShownOp is how much of a command $currentOp shows if it is to truncate.
const maxShownOp = 1000

func runCurrentOp(_ context.Context, op *operation) (bson.Raw, error) {
	return value.D("inprog", op.currentOps(false)), nil
}

// currentOpStage describes what runs, and what could go on: sessions with an
// open transaction and, if asked for, cursors between batches.
func (op *operation) currentOpStage(spec bson.Raw) ([]bson.Raw, error) {
	is := func(name string, otherwise bool) bool {
		if b, ok := spec.Lookup(name).BooleanOK(); ok {
			return b
		}
		return otherwise
	}
	if is("targetAllNodes", false) {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$currentOp: targetAllNodes is only for sharded clusters, and not together with localOps")
	}
	docs := op.currentOps(is("truncateOps", false))
	if is("idleSessions", true) {
		docs = append(docs, op.idleSessions()...)
	}
	if is("idleCursors", false) {
		docs = append(docs, op.idleCursors()...)
	}
	return docs, nil
}

// opName is how $currentOp calls a command.
func opName(name string) string {
	switch name {
	case "find":
		return "query"
	case "getMore":
		return "getmore"
	case "insert", "update":
		return name
	case "delete":
		return "remove"
	default:
		return "command"
	}
}

// currentOps describes the running operations.
func (op *operation) currentOps(truncate bool) []bson.Raw {
	var docs []bson.Raw
	for _, r := range op.node.ops.list() {
		req := r.op.req
		kind, coll := kindOf(req)
		ns := req.DB + "." + coll
		if coll == "" {
			ns = req.DB + ".$cmd"
		}
		pairs := []any{
			"type", "op", "host", op.node.cfg.Name, "desc", "conn", "connectionId", req.Client.ID, "client", req.Client.Addr,
			"appName", req.Client.AppName, "active", true, "currentOpTime", op.node.now().UTC().Format("2006-01-02T15:04:05.000-07:00"),
			"threaded", true, "opid", r.id,
		}
		if r.op.session != nil {
			pairs = append(pairs, "lsid", r.op.session.lsid)
		}
		took := time.Since(r.started)
		pairs = append(pairs, "secs_running", int64(took.Seconds()), "microsecs_running", took.Microseconds(),
			"op", opName(req.Name), "ns", ns, "redacted", false, "command", shownCommand(req, truncate))
		if kind == kindGetMore {
			pairs = append(pairs, op.usedCursor(r)...)
		}
		docs = append(docs, value.D(append(pairs, "numYields", 0, "waitingForLock", false)...))
	}
	return docs
}

// shownCommand is the command, or only its beginning if that is wanted.
func shownCommand(req *command.Request, truncate bool) bson.Raw {
	if !truncate || len(req.Body) <= maxShownOp {
		return req.Body
	}
	text := rawdoc.RenderDoc(req.Body)
	pairs := []any{"$truncated", text[:min(len(text), maxShownOp)]}
	if comment := req.Body.Lookup("comment"); comment.Type != 0 {
		pairs = append(pairs, "comment", comment)
	}
	return value.D(pairs...)
}

// usedCursor is the cursor that a getMore is at.
func (op *operation) usedCursor(r *running) []any {
	for _, c := range op.node.cursors.list() {
		if c.usedBy(r) {
			return []any{"cursor", appendFields(c.describe(), "operationUsingCursorId", r.id)}
		}
	}
	return nil
}

func (c *cursor) usedBy(r *running) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pinned == r
}

func (c *cursor) describe() bson.Raw {
	return value.D("cursorId", c.id, "tailable", c.await, "awaitData", c.await, "noCursorTimeout", c.noTimeout)
}

// idleCursors describes the cursors that no getMore is at.
func (op *operation) idleCursors() []bson.Raw {
	var docs []bson.Raw
	for _, c := range op.node.cursors.list() {
		if c.usedBy(nil) {
			docs = append(docs, value.D("type", "idleCursor", "host", op.node.cfg.Name, "ns", c.ns, "cursor", c.describe()))
		}
	}
	return docs
}

// idleSessions describes the sessions with an open transaction that no command
// runs in, and all with one that is prepared: it is shown until it has ended.
func (op *operation) idleSessions() []bson.Raw {
	var docs []bson.Raw
	for _, s := range op.line.sessions.list() {
		if t := s.shownTransaction(); t != nil {
			docs = append(docs, value.D("type", "idleSession", "host", op.node.cfg.Name, "desc", "inactive transaction", "lsid", s.lsid, "active", false,
				"transaction", t, "waitingForLock", false))
		}
	}
	return docs
}

// shownTransaction is the session's transaction, nil if it is not to be shown.
func (s *session) shownTransaction() bson.Raw {
	busy := !s.tryCheckOut()
	if !busy {
		defer s.checkIn()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.txn; t != nil && t.state == txnOpen && (t.prepared || !busy) {
		return t.describe()
	}
	return nil
}

// describe is how $currentOp shows an open transaction. Fields that are for
// prepared ones alone come last.
func (t *transaction) describe() bson.Raw {
	pairs := []any{
		"parameters", value.D("txnNumber", t.number, "autocommit", false),
		"startWallClockTime", t.started.UTC().Format("2006-01-02T15:04:05.000-07:00"), "timeOpenMicros", time.Since(t.started).Microseconds(),
	}
	if t.prepared {
		pairs = append(pairs, "timePreparedMicros", time.Since(t.since).Microseconds())
	}
	return value.D(pairs...)
}

// sessionsStage lists the sessions: of all users, of some, or of the client's.
func (op *operation) sessionsStage(name string, spec bson.Raw) ([]bson.Raw, error) {
	all, _ := spec.Lookup("allUsers").BooleanOK()
	var users []string
	given := false
	for _, v := range value.Elements(spec.Lookup("users").Value) {
		if d, ok := v.DocumentOK(); ok {
			given = true
			db, _ := d.Lookup("db").StringValueOK()
			user, _ := d.Lookup("user").StringValueOK()
			users = append(users, db+"."+user)
		}
	}
	if given && all {
		return nil, mongoerr.New(mongoerr.UnsupportedFormat, "%s may not specify {allUsers:true} and {users:[...]}", name)
	}
	var docs []bson.Raw
	for _, s := range op.line.sessions.list() {
		if !given || slices.Contains(users, s.user) {
			docs = append(docs, value.D("_id", s.lsid, "lastUse", s.idleSince(), "user", s.user))
		}
	}
	slices.SortFunc(docs, value.CompareDocs)
	return docs, nil
}
