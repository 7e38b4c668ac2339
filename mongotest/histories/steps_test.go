package histories_test

import (
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A step is what one command did: parts that come one after the other.
type step struct {
	what  string
	parts []part
}

// A part is the changes of documents, or events about the catalog. The order of
// the changes of one document is known; that of several documents only where one
// shard wrote them.
type part struct {
	effects []effect
	ordered bool
	txn     bool // the events tell of a transaction
	catalog []catalogEvent
}

// An effect is the change of one document: before or after is nil where there is
// none.
type effect struct {
	c             *collection // as it was then: only ns and incarnation count
	before, after bson.D
	sharded       bool
	maybeStays    bool // a new k may leave the document on its shard
	maybeMoves    bool // or not
}

// A catalogEvent comes from as many shards as between least and most.
type catalogEvent struct {
	kind, ns, to string
	incarnation  int
	least, most  int
}

func (w *world) did(what string, parts ...part) {
	w.steps = append(w.steps, step{what: what, parts: parts})
}

func catalogPart(kind string, c *collection, copies ...int) part {
	e := catalogEvent{kind: kind, ns: c.ns, incarnation: c.incarnation, least: 1, most: 1}
	if len(copies) > 0 {
		e.least, e.most = copies[0], copies[len(copies)-1]
	}
	return part{catalog: []catalogEvent{e}}
}

// change notes an effect in the model and returns it.
func (w *world) change(c *collection, before, after bson.D) effect {
	e := effect{c: &collection{ns: c.ns, incarnation: c.incarnation}, before: before, after: after, sharded: c.sharded(), maybeStays: true}
	if c.sharded() && before != nil && after != nil {
		from, to := w.ownersOf(c, get(before, "k").(int32)), w.ownersOf(c, get(after, "k").(int32))
		e.maybeMoves = len(from) > 1 || len(to) > 1 || from[0] != to[0]
		e.maybeStays = slices.ContainsFunc(from, func(s string) bool { return slices.Contains(to, s) })
	}
	if c.moving && w.orphans {
		c.haunted[e.key()] = true
	}
	if before != nil {
		delete(c.docs, keyOf(get(before, "_id")))
	}
	if after != nil {
		c.docs[keyOf(get(after, "_id"))] = after
	}
	return e
}

// A matcher holds the events of a stream of the whole cluster against the steps.
type matcher struct {
	w      *world
	events []bson.Raw
	i      int
	last   bson.Timestamp
	uuids  map[int]string // of incarnations
	late   []*outstanding // of transactions
}

func (w *world) match(events []bson.Raw) error {
	m := &matcher{w: w, events: events, uuids: map[int]string{}}
	for n, s := range w.steps {
		for _, p := range s.parts {
			if err := m.part(p); err != nil {
				return fmt.Errorf("step %d of %d, %s: %w", n, len(w.steps), s.what, err)
			}
		}
	}
	for m.i < len(events) {
		e, err := m.take()
		if err == nil {
			err = fmt.Errorf("nothing of the kind has been done: %s", e)
		}
		if !errors.Is(err, errEnd) {
			return err
		}
	}
	for _, o := range m.late {
		if len(o.effects) > 0 {
			return fmt.Errorf("%d effects of a transaction are missing, %v to %v first", len(o.effects), o.effects[0].before, o.effects[0].after)
		}
	}
	return nil
}

var errEnd = errors.New("the stream ends here")

// take returns the next event that is not a late one.
func (m *matcher) take() (bson.Raw, error) {
next:
	for m.i < len(m.events) {
		e := m.events[m.i]
		m.i++
		ts := clusterTime(e)
		if ts.Before(m.last) {
			return nil, fmt.Errorf("time goes back to %v: %s", ts, e)
		}
		m.last = ts
		for _, o := range m.late {
			if e.Lookup("documentKey").Type != 0 && o.find(e) >= 0 {
				if err := o.take(m, e); err != nil {
					return nil, fmt.Errorf("late: %w", err)
				}
				continue next
			}
		}
		return e, nil
	}
	return nil, errEnd
}

func (m *matcher) part(p part) error {
	pending := slices.Clone(p.catalog)
	for len(pending) > 0 {
		if m.i == len(m.events) && !slices.ContainsFunc(pending, func(e catalogEvent) bool { return e.least > 0 }) {
			break
		}
		e, err := m.take()
		if err != nil {
			return fmt.Errorf("%w; missing %v", err, pending)
		}
		i := slices.IndexFunc(pending, func(c catalogEvent) bool {
			return c.kind == str(e, "operationType") && c.ns == namespace(e, "ns") && c.to == namespace(e, "to")
		})
		if i < 0 && !slices.ContainsFunc(pending, func(e catalogEvent) bool { return e.least > 0 }) {
			m.i-- // the copies that may come do not
			break
		}
		if i < 0 {
			return fmt.Errorf("want one of %v, got %s", pending, e)
		}
		if err := m.sameCollection(pending[i].incarnation, e); err != nil {
			return err
		}
		pending[i].least--
		if pending[i].most--; pending[i].most == 0 {
			pending = slices.Delete(pending, i, i+1)
		}
	}
	return m.effects(p)
}

// sameCollection checks that events have the UUID of their collection, and no two
// collections the same.
func (m *matcher) sameCollection(incarnation int, e bson.Raw) error {
	_, id, ok := e.Lookup("collectionUUID").BinaryOK()
	if incarnation == 0 {
		if ok {
			return fmt.Errorf("a UUID in %s", e)
		}
		return nil
	}
	known, seen := m.uuids[incarnation]
	if !seen {
		for other, u := range m.uuids {
			if u == string(id) {
				return fmt.Errorf("collection %d has the UUID of %d: %s", incarnation, other, e)
			}
		}
		m.uuids[incarnation] = string(id)
	} else if known != string(id) {
		return fmt.Errorf("want the UUID %x, got %s", known, e)
	}
	return nil
}

// effects takes the events of documents. Those of a transaction on several shards
// may be late: its client has its answer once the decision is made, before every
// shard has carried it out (server-facts 2.6).
func (m *matcher) effects(p part) error {
	o := &outstanding{w: m.w, txn: p.txn, ordered: p.ordered}
	for _, x := range p.effects {
		if x.before == nil || x.after == nil || !same(x.before, x.after) {
			o.effects = append(o.effects, &expected{effect: x})
		}
	}
	for len(o.effects) > 0 {
		e, err := m.take()
		if err == nil && o.find(e) < 0 {
			if p.txn && len(m.w.shards) > 1 {
				m.i--
				m.late = append(m.late, o)
				return nil
			}
			err = fmt.Errorf("got %s", e)
		}
		if err == nil {
			err = o.take(m, e)
		}
		if err != nil {
			return fmt.Errorf("want %v to %v and %d more: %w", o.effects[0].before, o.effects[0].after, len(o.effects)-1, err)
		}
	}
	return nil
}

// outstanding are effects whose events are still to come.
type outstanding struct {
	w       *world
	txn     bool
	ordered bool
	id      string // of the transaction, once it is known
	effects []*expected
}

// An expected effect has two events if a document changes its shard: half is
// the kind of the one that has come.
type expected struct {
	effect
	half string
}

// find returns which effect the event tells of, or less than 0.
func (o *outstanding) find(e bson.Raw) int {
	i := slices.IndexFunc(o.effects, func(x *expected) bool {
		return x.c.ns == namespace(e, "ns") && x.key() == idKey(e.Lookup("documentKey", "_id"))
	})
	if o.ordered && i > 0 {
		return -1
	}
	return i
}

func (o *outstanding) take(m *matcher, e bson.Raw) error {
	i := o.find(e)
	x := o.effects[i]
	if err := m.sameCollection(x.c.incarnation, e); err != nil {
		return err
	}
	kind := str(e, "operationType")
	moved := x.before != nil && x.after != nil && (kind == "insert" || kind == "delete")
	if err := inTransaction(e, o.txn || moved, &o.id); err != nil {
		return err
	}
	if err := o.w.verify(x.effect, e, moved); err != nil {
		return fmt.Errorf("%w: %s", err, e)
	}
	if moved && x.half == kind {
		return fmt.Errorf("twice %s", e)
	}
	if moved && x.half == "" {
		x.half = kind
		return nil
	}
	o.effects = slices.Delete(o.effects, i, i+1)
	return nil
}

func (x effect) key() string {
	if x.before != nil {
		return keyOf(get(x.before, "_id"))
	}
	return keyOf(get(x.after, "_id"))
}

func inTransaction(e bson.Raw, want bool, txn *string) error {
	lsid, has := e.Lookup("lsid").DocumentOK()
	n, hasNumber := e.Lookup("txnNumber").Int64OK()
	if has != want || hasNumber != want {
		return fmt.Errorf("lsid and txnNumber: want %v in %s", want, e)
	}
	if id := fmt.Sprint(lsid, n); *txn == "" {
		*txn = id
	} else if id != *txn && want {
		return fmt.Errorf("want the transaction %s, got %s", *txn, id)
	}
	return nil
}

// verify holds an event against the change it is about. moved says that it is
// one of the two that tell of a document changing its shard.
func (w *world) verify(x effect, e bson.Raw, moved bool) error {
	kind := str(e, "operationType")
	full, _ := e.Lookup("fullDocument").DocumentOK()
	key, _ := e.Lookup("documentKey").DocumentOK()
	is := func(d bson.D) bool { return same(key, x.documentKey(d)) }
	switch {
	case moved && !x.maybeMoves:
		return fmt.Errorf("it has not changed its shard")
	case x.before != nil && x.after != nil && !moved && !x.maybeStays:
		return fmt.Errorf("it has changed its shard")
	case kind == "insert" && x.after != nil && (x.before == nil || moved):
		if !same(full, x.after) || !is(x.after) {
			return fmt.Errorf("wrong insert")
		}
	case kind == "delete" && x.before != nil && (x.after == nil || moved):
		if !is(x.before) {
			return fmt.Errorf("wrong documentKey")
		}
	case kind == "replace" && x.before != nil && x.after != nil:
		if !same(full, x.after) || !is(x.before) && !is(x.after) {
			return fmt.Errorf("wrong replace")
		}
	case kind == "update" && x.before != nil && x.after != nil:
		u, _ := e.Lookup("updateDescription").DocumentOK()
		after, err := describe(x.before, u)
		if err != nil || !same(after, x.after) || !is(x.before) && !is(x.after) {
			return fmt.Errorf("wrong update, to %v", after)
		}
		if _, err := u.LookupErr("disambiguatedPaths"); (err == nil) != (w.version != "6.0") {
			return fmt.Errorf("disambiguatedPaths")
		}
	default:
		return fmt.Errorf("wrong kind")
	}
	return nil
}

func (x effect) documentKey(d bson.D) bson.D {
	if x.sharded {
		return bson.D{{"k", get(d, "k")}, {"_id", get(d, "_id")}}
	}
	return bson.D{{"_id", get(d, "_id")}}
}

func str(e bson.Raw, path ...string) string {
	s, _ := e.Lookup(path...).StringValueOK()
	return s
}

func namespace(e bson.Raw, field string) string {
	db, coll := str(e, field, "db"), str(e, field, "coll")
	if coll == "" {
		return db
	}
	return db + "." + coll
}

func clusterTime(e bson.Raw) bson.Timestamp {
	t, i, _ := e.Lookup("clusterTime").TimestampOK()
	return bson.Timestamp{T: t, I: i}
}
