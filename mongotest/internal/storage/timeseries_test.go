package storage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// withSeries returns a world with an empty time-series collection db.s.
func withSeries(t *testing.T, options ...any) *world {
	w := newWorld(t)
	w.must(func(tx *Tx) error {
		series := value.D("timeField", "t", "metaField", "m")
		_, err := tx.Create("db.s", CollectionSpec{Options: value.D(append(options, "timeseries", series)...), MetaIndex: true}, Meta{})
		return err
	})
	return w
}

// namesIn lists a database.
func namesIn(tx *Tx, db string) (names []string) {
	for _, c := range tx.Collections(db) {
		names = append(names, c.Name())
	}
	return names
}

// The oplog knows a time-series collection as its buckets and a view.
func TestTimeseriesInTheOplog(t *testing.T) {
	w := withSeries(t)
	log := w.entries()
	require.Len(t, log, 4)
	assert.Contains(t, log[0], `c db.$cmd { create: "system.buckets.s", validator: `)
	assert.Contains(t, log[0], `clusteredIndex: true, timeseries: { timeField: "t", metaField: "m", granularity: "seconds", bucketMaxSpanSeconds: 3600 } }`)
	assert.Equal(t, []string{
		`c db.$cmd { createIndexes: "system.buckets.s", v: 2, key: { meta: 1, control.min.t: 1, control.max.t: 1 }, name: "m_1_t_1" }`,
		`c db.$cmd { create: "system.views", idIndex: { v: 2, key: { _id: 1 }, name: "_id_" } }`,
		`i db.system.views { _id: "db.s", viewOn: "system.buckets.s", pipeline: [ { $_internalUnpackBucket: ` +
			`{ timeField: "t", metaField: "m", bucketMaxSpanSeconds: 3600 } } ] } { _id: "db.s" }`,
	}, log[1:])

	w.must(func(tx *Tx) error {
		_, err := tx.CollMod(tx.Collection("db.s"), value.D("timeseries", value.D("granularity", "hours")), Meta{})
		return err
	})
	log = w.entries()
	require.Len(t, log, 6)
	assert.Contains(t, log[4], "bucketMaxSpanSeconds: 2592000")
	assert.Contains(t, log[5], `c db.$cmd { collMod: "system.buckets.s", timeseries: { granularity: "hours" } }`)
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.s")
		assert.Equal(t, `{ timeseries: { timeField: "t", metaField: "m", granularity: "hours", bucketMaxSpanSeconds: 2592000 } }`, render(c.Options))
		assert.Equal(t, c.Timeseries(), tx.Buckets(c).Timeseries())
		return nil
	})

	w.must(func(tx *Tx) error { return tx.Drop(tx.Collection("db.s"), Meta{}) })
	assert.Equal(t, []string{
		`d db.system.views { _id: "db.s" }`, `c db.$cmd { drop: "system.buckets.s" } { numRecords: 0 }`,
	}, w.entries()[6:])
}

// A time-series collection and its buckets go together, whichever is dropped.
func TestTimeseriesAreDroppedWhole(t *testing.T) {
	for _, dropped := range []string{"db.s", "db.system.buckets.s"} {
		w := withSeries(t)
		w.must(func(tx *Tx) error { return tx.Drop(tx.Collection(dropped), Meta{}) })
		w.must(func(tx *Tx) error {
			assert.Equal(t, []string{"system.views"}, namesIn(tx, "db"), dropped)
			return nil
		})
	}
	w := withSeries(t)
	w.must(func(tx *Tx) error { return tx.DropDatabase("db", Meta{}) })
	w.must(func(tx *Tx) error {
		assert.Empty(t, tx.Databases())
		return nil
	})
}

// What was left of a creation that stopped half way is completed; other buckets
// stand in the way.
func TestTimeseriesOverExistingBuckets(t *testing.T) {
	w := withSeries(t)
	series := value.D("timeField", "t", "metaField", "m")
	w.must(func(tx *Tx) error { return tx.DropAlone(tx.Collection("db.s"), Meta{}) })
	err := w.e.Update(func(tx *Tx) error {
		_, err := tx.Create("db.s", CollectionSpec{Options: value.D("timeseries", value.D("timeField", "other"))}, Meta{})
		return err
	})
	assert.True(t, mongoerr.Is(err, mongoerr.NamespaceExists), "%v", err)
	w.must(func(tx *Tx) error {
		c, err := tx.Create("db.s", CollectionSpec{Options: value.D("timeseries", series)}, Meta{})
		require.NoError(t, err)
		assert.True(t, c.MadeWith(value.D("timeseries", series)))
		assert.False(t, c.MadeWith(value.D("timeseries", value.D("timeField", "t"))))
		return nil
	})
}

func TestTimeseriesModificationsRefused(t *testing.T) {
	w := withSeries(t)
	before := w.dump()
	for name, tt := range map[string]struct {
		mod  bson.Raw
		code mongoerr.Code
	}{
		"a validator":          {value.D("validator", value.D()), mongoerr.InvalidOptions},
		"a level":              {value.D("validationLevel", "off"), mongoerr.InvalidOptions},
		"a pipeline":           {value.D("pipeline", value.A()), mongoerr.InvalidOptions},
		"a finer granularity":  {value.D("timeseries", value.D("bucketMaxSpanSeconds", 60, "bucketRoundingSeconds", 60)), mongoerr.InvalidOptions},
		"a negative expiry":    {value.D("expireAfterSeconds", -1), mongoerr.InvalidOptions},
		"an index of no field": {value.D("index", value.D("keyPattern", value.D("v", 1), "hidden", true)), mongoerr.IndexNotFound},
	} {
		err := w.e.Update(func(tx *Tx) error {
			_, err := tx.CollMod(tx.Collection("db.s"), tt.mod, Meta{})
			return err
		})
		assert.True(t, mongoerr.Is(err, tt.code), "%s: %v", name, err)
	}
	assert.Equal(t, before, w.dump())
	_, err := withCollection(t).collMod("timeseries", value.D("granularity", "hours"))
	assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%v", err)
	require.Error(t, withCollection(t).index(keySpec("x", value.D("a", "2dsphere_bucket"))))
	require.Error(t, withCollection(t).index(keySpec("x", value.D("a", 1), timeseries.OriginalSpec, value.D())))
}

// A bucket expires when its last measurement may: that is its length later.
func TestBucketsExpire(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	w := withSeries(t, "expireAfterSeconds", 600)
	bucket := func(age time.Duration) bson.Raw {
		o := timeseries.Options{TimeField: "t", Granularity: "seconds", MaxSpan: 3600}
		m, err := o.Measure(value.D("t", value.DateTime(now.Add(-age).UnixMilli())))
		require.NoError(t, err)
		b := o.NewBucket(m)
		b.Add(m)
		return b.Document()
	}
	w.must(func(tx *Tx) error {
		for _, age := range []time.Duration{0, 11 * time.Minute, 69 * time.Minute, 72 * time.Minute, 24 * time.Hour} {
			if _, err := tx.Insert(tx.Collection("db.system.buckets.s"), bucket(age), Meta{}); err != nil {
				return err
			}
		}
		return nil
	})
	w.must(func(tx *Tx) error {
		n, err := tx.DeleteExpired(now, 0, nil)
		assert.Equal(t, 2, n)
		return err
	})
}

// A time-series collection is what it was after a restart.
func TestTimeseriesComeBack(t *testing.T) {
	dir := t.TempDir()
	w, d := onDisk(t, dir, oplog.Options{})
	w.must(func(tx *Tx) error {
		_, err := tx.Create("db.s", CollectionSpec{Options: value.D("timeseries", value.D("timeField", "t", "metaField", "m")), MetaIndex: true}, Meta{})
		return err
	})
	before := w.state()
	d.Close()
	w, d = onDisk(t, dir, oplog.Options{})
	defer d.Close()
	assert.Equal(t, before, w.state())
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.s")
		assert.True(t, c.IsTimeseries())
		assert.Len(t, tx.Buckets(c).Indexes(), 2)
		return tx.Drop(c, Meta{})
	})
}
