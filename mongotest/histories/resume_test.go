package histories_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A resumption is a way to start a stream in the middle, and what must come of it.
type resumption struct {
	from  start
	after bson.Raw // the token after which events come, in the server's version
	other token    // the token as it is given, if that is of another version
	code  int32    // of the error that it must fail with
}

// tokenVersion is the version of the tokens that the server makes.
func (w *world) tokenVersion() int {
	if w.version == "6.0" {
		return 1
	}
	return 2
}

// resume resumes a stream from many places. A stream finds the tokens of all the
// events that it would have with showExpandedEvents: those are known.
func (w *world) resume(s scope, events, known []bson.Raw, marks []mark, end bson.Timestamp) error {
	for range 8 {
		p, ok := w.draw(known, marks, end)
		if !ok {
			continue
		}
		if err := w.check(s, p, events, end); err != nil {
			return fmt.Errorf("%v, %s %v: %w", s, p.from.option, p.from.value, err)
		}
	}
	return nil
}

// draw chooses a place.
func (w *world) draw(events []bson.Raw, marks []mark, end bson.Timestamp) (resumption, bool) {
	version := 1 + w.rnd.IntN(2)
	switch n := w.rnd.IntN(7); {
	case n < 3 && len(events) > 0:
		return w.drawEvent(one(w.rnd, events), version)
	case n == 3:
		m := one(w.rnd, marks)
		if invalid(m.token) {
			return resumption{}, false // of an ended stream; its invalidate event is drawn too
		}
		return resumption{from: start{w.option(), m.token}, after: m.token}, true
	}
	ts := end
	if len(events) > 0 && w.chance(90) {
		ts = clusterTime(one(w.rnd, events))
	}
	ts.I = uint32(int(ts.I) + w.rnd.IntN(3) - 1)
	own := highWater(ts, w.tokenVersion())
	if w.chance(40) {
		return resumption{from: start{"startAtOperationTime", ts}, after: own}, true
	}
	given := highWater(ts, version)
	return resumption{from: start{w.option(), given}, after: own, other: parseToken(given)}, true
}

func (w *world) option() string { return one(w.rnd, []string{"resumeAfter", "startAfter"}) }

func invalid(t bson.Raw) bool { return parseToken(t).rest[:2] == "6F" }

func (w *world) drawEvent(e bson.Raw, version int) (resumption, bool) {
	given, ok := w.as(parseToken(id(e)), version, e)
	if !ok {
		return resumption{}, false
	}
	p := resumption{from: start{w.option(), given.doc()}, after: id(e), other: given}
	if given.rest[:2] == "6F" && p.from.option == "resumeAfter" {
		p.code = 260
	}
	return p, true
}

// check resumes and compares.
func (w *world) check(s scope, p resumption, events []bson.Raw, end bson.Timestamp) error {
	r, err := w.open(s, p.from)
	if err == nil {
		defer r.close()
		err = r.readTo(end)
	}
	if p.code != 0 {
		return failed(err, p.code)
	}
	if err != nil {
		return err
	}
	want := w.after(p, events)
	if n := slices.IndexFunc(want, func(e bson.Raw) bool { return str(e, "operationType") == "invalidate" }); n >= 0 {
		want = want[:n+1]
		if r.id != 0 {
			return fmt.Errorf("the stream goes on after it was invalidated")
		}
	} else if r.id == 0 {
		return fmt.Errorf("the stream ends")
	}
	return differ(want, r.events)
}

// after returns the events that come after the place, with the tokens that the
// server gives them: at the time of a token of another version its version, up to
// its operation or, if it is the later one, to the end of that time. What comes
// before the place there is decided in that version too: only version 2 begins
// with the kind of the event, so the versions order what two shards did at one
// time differently.
func (w *world) after(p resumption, events []bson.Raw) []bson.Raw {
	var out []bson.Raw
	for _, e := range events {
		t, place := parseToken(id(e)), p.after
		if p.other.time == t.time && p.other.version != t.version && (t.index <= p.other.index || p.other.version > t.version) {
			if other, ok := w.as(t, p.other.version, e); ok {
				e, place = raw(set(decoded(e), "_id", other.doc())), p.other.doc()
			}
		}
		if compare(id(e), place) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// as is token.as with what the expanded event says, for invalidate events too:
// they have the identifier of the event before.
func (w *world) as(t token, version int, e bson.Raw) (token, bool) {
	valid := t
	valid.rest = "6E" + t.rest[2:]
	full, ok := w.told[str(valid.doc(), "_data")]
	if !ok {
		full = e
	}
	other, ok := valid.as(version, full)
	if str(e, "operationType") == "invalidate" {
		other = other.invalidated()
	}
	return other, ok
}

func decoded(e bson.Raw) bson.D {
	elements, err := e.Elements()
	if err != nil {
		panic(err)
	}
	var d bson.D
	for _, x := range elements {
		d = append(d, bson.E{Key: x.Key(), Value: x.Value()})
	}
	return d
}

func failed(err error, code int32) error {
	var e mongo.CommandError
	if !errors.As(err, &e) || e.Code != code {
		return fmt.Errorf("want error %d, got %w", code, errOrNone(err))
	}
	if fatal := code == 280 || code == 286; e.HasErrorLabel("NonResumableChangeStreamError") != fatal {
		return fmt.Errorf("labels %v of error %d", e.Labels, code)
	}
	return nil
}

func errOrNone(err error) error {
	if err == nil {
		return errors.New("none")
	}
	return err
}

// strangers resumes after events that the stream does not have: that fails as
// soon as it has a later one.
func (w *world) strangers(s scope, events, known, others []bson.Raw, end bson.Timestamp) error {
	for range 3 {
		if len(others) == 0 {
			return nil
		}
		e := one(w.rnd, others)
		t := parseToken(id(e))
		if w.chance(30) {
			t.index = "2C0FA0" // an operation that no transaction has
		}
		if slices.ContainsFunc(known, func(x bson.Raw) bool { return str(x, "_id", "_data") == str(t.doc(), "_data") }) {
			continue
		}
		p := resumption{from: start{"resumeAfter", t.doc()}, after: t.doc()}
		later := w.after(p, events)
		switch {
		case s.coll != "" && !strings.HasPrefix(t.rest[2:], "5A10"): // of a dropDatabase: there is no UUID
			p.code = 260
		case len(later) > 0:
			p.code = 280
		}
		if err := w.check(s, p, events, end); err != nil {
			return fmt.Errorf("%v after a stranger, %s: %w", s, e, err)
		}
	}
	return nil
}
