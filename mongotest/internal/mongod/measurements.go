package mongod

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// refuseSeriesInTxn refuses writes of measurements in a transaction.
func (op *operation) refuseSeriesInTxn(what string, c *storage.Collection) error {
	if op.txn == nil {
		return nil
	}
	return mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Cannot %s a time-series collection in a multi-document transaction: %s", what, c.NS)
}

// measures reports whether op is about the measurements in c: a time-series
// collection as clients see it, or, for a router, the buckets of one.
func (op *operation) measures(c *storage.Collection) bool {
	return c != nil && c.Timeseries() != nil && (c.IsTimeseries() || op.args().bool("isTimeseriesNamespace", false))
}

// bucketsOf returns what holds the buckets of a time-series collection.
func bucketsOf(tx *storage.Tx, c *storage.Collection) (*storage.Collection, error) {
	if !c.IsTimeseries() {
		return c, nil
	}
	home := tx.Buckets(c)
	if home == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Could not find time-series buckets collection for write")
	}
	return home, nil
}

// insertMeasurements inserts up to count documents from the i-th into a
// time-series collection. It returns how many, and what is wrong with the one
// after these.
func (w *bulk) insertMeasurements(tx *storage.Tx, c *storage.Collection, i, count int) (inserted int, failure, err error) {
	if err := w.op.refuseSeriesInTxn("insert into", c); err != nil {
		return 0, nil, err
	}
	home, err := bucketsOf(tx, c)
	if err != nil {
		return 0, nil, err
	}
	var ms []timeseries.Measurement
	for ; len(ms) < count; inserted++ {
		doc := w.statements[i+inserted]
		if _, done := w.op.recall(w.ids[i+inserted]); done {
			break
		}
		var m timeseries.Measurement
		if m, failure = c.Timeseries().Measure(doc); failure == nil && len(doc) > maxBSONObjectSize {
			failure = mongoerr.New(mongoerr.BSONObjectTooLarge, "object to insert too large. size in bytes: %d, max size: %d", len(doc), maxBSONObjectSize)
		}
		if failure != nil {
			break
		}
		ms = append(ms, m)
	}
	meta := w.op.meta(w.ids[i])
	meta.BypassValidation, meta.KeepEmptyTimestamps = w.bypassValidation, true
	return inserted, failure, w.op.fillBuckets(tx, home, ms, meta)
}

// fillBuckets stores measurements in the order they came, each kind of metadata
// for itself. Since 8.0 what is inserted together is in a bucket by time.
func (op *operation) fillBuckets(tx *storage.Tx, home *storage.Collection, ms []timeseries.Measurement, m storage.Meta) error {
	for len(ms) > 0 {
		var same, others []timeseries.Measurement
		for _, x := range ms {
			if timeseries.SameMeta(x.Meta, ms[0].Meta) {
				same = append(same, x)
			} else {
				others = append(others, x)
			}
		}
		if op.node.cfg.Version.AtLeast(8, 0) {
			slices.SortStableFunc(same, func(a, b timeseries.Measurement) int { return int(min(max(a.Time-b.Time, -1), 1)) })
		}
		f := filling{tx: tx, home: home, meta: m, owned: op.owned}
		for _, x := range same {
			if err := f.add(x); err != nil {
				return err
			}
		}
		if err := f.flush(); err != nil {
			return err
		}
		ms = others
	}
	return nil
}

// filling fills buckets of one kind of metadata, one after the other.
type filling struct {
	tx     *storage.Tx
	home   *storage.Collection
	meta   storage.Meta
	owned  func(bson.Raw) bool
	bucket *timeseries.Bucket
	stored int64 // the record of the bucket, 0 if it is new
}

func (f *filling) add(m timeseries.Measurement) error {
	if f.bucket == nil || !f.bucket.Fits(m) {
		if err := f.flush(); err != nil {
			return err
		}
		if err := f.find(m); err != nil {
			return err
		}
	}
	f.bucket.Add(m)
	return nil
}

// flush stores the bucket.
func (f *filling) flush() error {
	b, stored := f.bucket, f.stored
	f.bucket, f.stored = nil, 0
	if b == nil {
		return nil
	}
	m := f.meta
	m.Form = storage.FormDiff
	var err error
	if stored != 0 {
		_, err = f.tx.Replace(f.home, stored, b.Document(), m)
	} else {
		_, err = f.tx.Insert(f.home, b.Document(), m)
	}
	return err
}

// maxReopened is how many buckets are looked at, from the latest on, before a
// new one is made.
const maxReopened = 4

// find takes the stored bucket that m fits into, or a new one.
func (f *filling) find(m timeseries.Measurement) error {
	o, tried := f.home.Timeseries(), 0
	for _, rec := range f.tx.Scan(f.home, f.candidates(m)) {
		if !timeseries.SameMeta(rec.Doc.Lookup("meta"), m.Meta) || f.owned != nil && !f.owned(rec.Doc) {
			continue
		}
		if from, ok := rec.Doc.Lookup("control", "min", o.TimeField).DateTimeOK(); !ok || m.Time < from || m.Time-from >= o.MaxSpan*1000 {
			continue
		}
		if closed, _ := rec.Doc.Lookup("control", "closed").BooleanOK(); closed {
			continue
		}
		if tried++; tried > maxReopened {
			break
		}
		if version, _ := value.AsInt64(rec.Doc.Lookup("control", "version")); version != 1 {
			continue
		}
		b, err := o.Load(rec.Doc)
		if err != nil {
			return err
		}
		if b.Fits(m) {
			f.bucket, f.stored = b, rec.ID
			return nil
		}
	}
	f.bucket, f.stored = o.NewBucket(m), 0
	return nil
}

// candidates scans the buckets that may have room for m, the latest first: by
// the index on metadata and time if there is one, else all of the time.
func (f *filling) candidates(m timeseries.Measurement) storage.ScanSpec {
	o := f.home.Timeseries()
	from := m.Time - o.MaxSpan*1000
	index := f.home.IndexesByKey(o.DefaultIndex().Lookup("key").Value)
	if o.MetaField != "" && len(index) > 0 && m.Meta.Type != bson.TypeArray && index[0].Partial == nil {
		meta := m.Meta
		if meta.Type == 0 {
			meta = value.Null()
		}
		low, high := value.DateTime(from), value.DateTime(m.Time)
		s := index[0].Range([]bson.RawValue{meta}, &low, &high, true, true)
		s.Reverse = true
		return s
	}
	if from < 0 || m.Time/1000 >= 1<<32-1 {
		return storage.ScanSpec{Index: f.home.IDIndex().Name, Reverse: true} // ids do not tell such times
	}
	low, high := value.ObjectID(timeseries.FirstID(from)), value.ObjectID(timeseries.FirstID(m.Time+1000))
	s := f.home.IDIndex().Range(nil, &low, &high, true, true)
	s.Reverse = true
	return s
}
