package mongod

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// profileColl is the collection in which the profiler's records are read.
const profileColl = "system.profile"

// maxProfile bounds the bytes of the records of one database: the size of the
// server's capped collection.
const maxProfile = 1 << 20

// profiler records operations, by database. The zero value records nothing.
type profiler struct {
	on atomic.Bool // whether any database is profiled

	mu       sync.Mutex
	levels   map[string]int64
	records  map[string][]bson.Raw
	slowMS   int64
	rate     float64
	filter   bson.Raw // nil: what is slow is recorded
	matcher  *query.Matcher
	adjusted bool // slowMS and rate have been set
}

// defaults are what slowMS and rate are before they are set.
func (p *profiler) defaults() {
	if !p.adjusted {
		p.slowMS, p.rate, p.adjusted = 100, 1, true
	}
}

// describe tells what is recorded of db.
func (p *profiler) describe(db string) bson.Raw {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.defaults()
	pairs := []any{"was", int32(p.levels[db]), "slowms", int32(p.slowMS), "sampleRate", p.rate}
	if p.filter != nil {
		pairs = append(pairs, "filter", p.filter, "note", "When a filter expression is set, slowms and sampleRate are not used for profiling and slow-query log lines.")
	}
	return value.D(pairs...)
}

// wants reports whether an operation on db that took so long is recorded.
func (p *profiler) wants(db string, took time.Duration, record func() bson.Raw) bool {
	p.mu.Lock()
	level, slow, rate, matcher := p.levels[db], p.slowMS, p.rate, p.matcher
	p.mu.Unlock()
	switch {
	case level == 0:
		return false
	case matcher != nil:
		ok, err := matcher.Match(record())
		return err == nil && ok
	case level == 1 && took.Milliseconds() < slow:
		return false
	default:
		return rate >= 1 || rand.Float64() < rate
	}
}

func (p *profiler) add(db string, record bson.Raw) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.records == nil {
		p.records = map[string][]bson.Raw{}
	}
	all := append(p.records[db], record)
	size := 0
	for i := len(all) - 1; i >= 0; i-- {
		if size += len(all[i]); size > maxProfile {
			all = all[i+1:]
			break
		}
	}
	p.records[db] = all
}

// of returns the records of db, oldest first; not ok if it was never profiled.
func (p *profiler) of(db string) (records []bson.Raw, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	records, ok = p.records[db]
	return append([]bson.Raw(nil), records...), ok
}

// profile records op, which has ended, if that is wanted.
func (op *operation) profile(took time.Duration, reply bson.Raw, failure error) {
	p := &op.node.records.profiler
	db := op.req.DB
	if !p.on.Load() || op.req.Name == "profile" {
		return
	}
	kind, coll := kindOf(op.req)
	if coll == profileColl {
		return
	}
	record := func() bson.Raw {
		ns := db + "." + coll
		if coll == "" {
			ns = db + ".$cmd"
		}
		name := opName(op.req.Name)
		if kind == kindReadCommand || kind == kindWriteCommand {
			name = "command"
		}
		pairs := []any{
			"op", name, "ns", ns, "command", op.req.Body, "responseLength", len(reply), "millis", value.Integer(took.Milliseconds()),
			"ts", op.node.now(), "client", op.req.Client.Addr, "appName", op.req.Client.AppName, "user", op.req.Client.User,
		}
		if failure != nil {
			e := mongoerr.From(failure)
			pairs = append(pairs, "ok", 0, "errMsg", e.Message, "errName", mongoerr.CodeName(e.Code), "errCode", int32(e.Code))
		}
		return value.D(pairs...)
	}
	if p.wants(db, took, record) {
		p.add(db, record())
	}
}

// runProfile sets what is recorded of a database, and tells what it was.
func runProfile(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	level := a.int64("profile", 0)
	filter := a.lookup("filter")
	p := &op.node.records.profiler
	was := p.describe(op.req.DB)
	matcher, parsed, err := op.profileFilter(filter)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ms, ok := value.AsInt64(a.lookup("slowms")); ok {
		p.slowMS = ms
	}
	if rate, ok := value.AsFloat64(a.lookup("sampleRate")); ok {
		p.rate = rate
	}
	if filter.Type != 0 {
		p.filter, p.matcher = parsed, matcher
	}
	if level < 0 || level > 2 {
		return was, a.err
	}
	if p.levels == nil {
		p.levels = map[string]int64{}
	}
	p.levels[op.req.DB] = level
	some := false
	for _, l := range p.levels {
		some = some || l > 0
	}
	p.on.Store(some)
	return was, a.err
}

// profileFilter reads a filter; "unset" and none are none.
func (op *operation) profileFilter(v bson.RawValue) (*query.Matcher, bson.Raw, error) {
	if s, ok := v.StringValueOK(); v.Type == 0 || ok && s == "unset" {
		return nil, nil, nil
	}
	d, ok := v.DocumentOK()
	if !ok {
		return nil, nil, mongoerr.New(mongoerr.BadValue, "Expected an object, or the string 'unset'.")
	}
	lang, err := op.language(nil, nil)
	if err != nil {
		return nil, nil, err
	}
	m, err := lang.listFilter(d)
	return m, parsedQuery(d), err
}
