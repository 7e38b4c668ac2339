package changestream

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// An event is a rendered change event.
type event struct {
	doc         bson.Raw
	id          bson.Raw // the token document; shares doc's memory
	time        bson.Timestamp
	invalidates bool // it is the invalidate event
	expanded    bool // only streams with showExpandedEvents return it
}

// A maker turns operations into events for one stream. It also drops the events
// before the one that the stream resumes after; the event itself it makes, for
// whoever decides whether the token was found.
type maker struct {
	spec     Spec
	features features
	catalog  Catalog
	filter   *namespaceFilter

	start     Token
	startData string // start's _data without a fragment number
}

func newMaker(spec Spec, start Token, f features, cat Catalog) *maker {
	return &maker{
		spec: spec, features: f, catalog: cat, filter: newNamespaceFilter(spec),
		start: start, startData: start.withoutFragment().data(),
	}
}

// events appends to dst what the operation makes: nothing, its event, or its
// event and the invalidate event after it.
func (m *maker) events(dst []event, op *operation) ([]event, error) {
	d := m.draft(op)
	if d == nil {
		return dst, nil
	}
	t := m.token(d, op)
	if !m.before(&t) {
		e, err := m.render(d, op, &t)
		if err != nil {
			return dst, err
		}
		e.expanded = !d.isClassic()
		dst = append(dst, e)
	}
	if !d.invalidates(m.spec.Scope) {
		return dst, nil
	}
	t.invalidate()
	if m.before(&t) {
		return dst, nil
	}
	e := renderInvalidate(op, &t)
	// The invalidate event that the stream starts after does not end it again.
	e.invalidates = !m.isStart(&t)
	return append(dst, e), nil
}

func (m *maker) draft(op *operation) *draft {
	switch op.op {
	case oplog.Insert, oplog.Update, oplog.Delete:
		return m.crud(op)
	case oplog.Command:
		return m.command(op)
	case oplog.Noop:
		return m.noop(op)
	}
	return nil
}

// token returns the event's token. At the time of the token that the stream
// resumes after it has that token's format: up to its operation or, if the
// format is newer than this server's, to the end, since the older one would sort
// before it.
func (m *maker) token(d *draft, op *operation) eventToken {
	version := m.features.tokenVersion
	if m.resumesAt(op.visible.TS) && (op.txnIndex <= m.start.TxnIndex || m.start.Version > version) {
		version = m.start.Version
	}
	return newEventToken(d, op, version)
}

// makesExpanded reports whether the stream makes the events of showExpandedEvents.
// One without the option still finds the token of such an event, for the server
// leaves those events out only after it has looked for the token.
func (m *maker) makesExpanded(op *operation) bool {
	return m.spec.ShowExpandedEvents || m.start.Type == EventToken && m.resumesAt(op.visible.TS)
}

func (m *maker) resumesAt(ts bson.Timestamp) bool { return ts.Equal(m.start.Time) }

// before reports whether the event lies before the stream's start.
func (m *maker) before(t *eventToken) bool {
	return m.resumesAt(t.time) && strings.Compare(t.data, m.startData) < 0
}

func (m *maker) isStart(t *eventToken) bool {
	return m.start.Type == EventToken && m.resumesAt(t.time) && t.data == m.startData
}
