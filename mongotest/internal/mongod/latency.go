package mongod

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// latencies are the times that operations on each collection took since the
// node began: what top and $collStats show.
type latencies struct {
	byNS sync.Map // namespace to *opTimes
}

// opTimes are the times of one collection's operations.
type opTimes [kindCount]tally

// opKind is a kind of operations, as top tells them apart.
type opKind int

const (
	kindQuery opKind = iota
	kindGetMore
	kindInsert
	kindUpdate
	kindRemove
	kindReadCommand  // any other that only reads
	kindWriteCommand // findAndModify
	kindCommand      // the rest
	kindCount
)

// kindOf returns the kind of a command and the collection it works on.
func kindOf(req *command.Request) (opKind, string) {
	coll := req.Collection()
	switch req.Name {
	case "find":
		return kindQuery, coll
	case "getMore":
		coll, _ = req.Body.Lookup("collection").StringValueOK()
		return kindGetMore, coll
	case "insert":
		return kindInsert, coll
	case "update":
		return kindUpdate, coll
	case "delete":
		return kindRemove, coll
	case "aggregate", "count", "distinct":
		return kindReadCommand, coll
	case "findAndModify", "findandmodify":
		return kindWriteCommand, coll
	default:
		return kindCommand, coll
	}
}

// tally adds up the times of operations.
type tally struct {
	ops, micros atomic.Int64
	buckets     [bucketCount]atomic.Int64
}

// bucketCount is how many buckets a histogram has: powers of two, from 0.
const bucketCount = 32

func (t *tally) add(d time.Duration) {
	micros := max(d.Microseconds(), 0)
	t.ops.Add(1)
	t.micros.Add(micros)
	b := 0
	for micros > 0 && b < bucketCount-1 {
		micros >>= 1
		b++
	}
	t.buckets[b].Add(1)
}

// lowerBound is the least number of microseconds in a bucket.
func lowerBound(bucket int) int64 {
	if bucket == 0 {
		return 0
	}
	return 1 << (bucket - 1)
}

// note records an operation that has ended.
func (l *latencies) note(req *command.Request, took time.Duration) {
	kind, coll := kindOf(req)
	if coll == "" {
		return
	}
	ns := req.DB + "." + coll
	times, ok := l.byNS.Load(ns)
	if !ok {
		times, _ = l.byNS.LoadOrStore(ns, &opTimes{})
	}
	times.(*opTimes)[kind].add(took)
}

// of returns what is known about ns, never nil.
func (l *latencies) of(ns string) *opTimes {
	if times, ok := l.byNS.Load(ns); ok {
		return times.(*opTimes)
	}
	return &opTimes{}
}

// all adds up what is known about all namespaces.
func (l *latencies) all() *opTimes {
	sum := &opTimes{}
	l.byNS.Range(func(_, times any) bool {
		for k := range sum {
			sum[k].ops.Add(times.(*opTimes)[k].ops.Load())
			sum[k].micros.Add(times.(*opTimes)[k].micros.Load())
		}
		return true
	})
	return sum
}

// total is the number of operations of some kinds.
func (l *latencies) total(kinds ...opKind) int64 {
	ops, _ := l.all().sum(kinds...)
	return ops
}

// forget drops what is known about ns, which is gone.
func (l *latencies) forget(ns string) { l.byNS.Delete(ns) }

// sum returns the number and the time of operations of some kinds.
func (o *opTimes) sum(kinds ...opKind) (ops, micros int64) {
	for _, k := range kinds {
		ops += o[k].ops.Load()
		micros += o[k].micros.Load()
	}
	return ops, micros
}

// latency renders operations of some kinds as $collStats does.
func (o *opTimes) latency(histograms bool, kinds ...opKind) bson.Raw {
	ops, micros := o.sum(kinds...)
	pairs := []any{"latency", micros, "ops", ops}
	if histograms {
		entries := []bson.Raw{}
		for b := range bucketCount {
			n := int64(0)
			for _, k := range kinds {
				n += o[k].buckets[b].Load()
			}
			if n > 0 {
				entries = append(entries, value.D("micros", lowerBound(b), "count", n))
			}
		}
		pairs = append(pairs, "histogram", entries)
	}
	return value.D(pairs...)
}

// usage renders operations of some kinds as top does.
func (o *opTimes) usage(kinds ...opKind) bson.Raw {
	ops, micros := o.sum(kinds...)
	return value.D("time", micros, "count", ops)
}

// names returns the namespaces of a database that something is known about.
func (l *latencies) names(db string) []string {
	var out []string
	l.byNS.Range(func(ns, _ any) bool {
		if strings.HasPrefix(ns.(string), db+".") {
			out = append(out, ns.(string))
		}
		return true
	})
	return out
}
