package timeseries_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) bson.RawValue { return value.DateTime(noon.Add(d).UnixMilli()) }

func measure(t *testing.T, o timeseries.Options, pairs ...any) timeseries.Measurement {
	t.Helper()
	m, err := o.Measure(value.D(pairs...))
	require.NoError(t, err)
	return m
}

func TestMeasurementsNeedATime(t *testing.T) {
	o := parse(t)
	for _, doc := range []bson.Raw{value.D("v", 1), value.D("t", "noon"), value.D("t", nil)} {
		_, err := o.Measure(doc)
		assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%v", err)
	}
}

// Metadata is the same in whatever order its fields are written.
func TestMetadataHasNoOrder(t *testing.T) {
	o := parse(t, "metaField", "m")
	a := measure(t, o, "t", at(0), "m", value.D("b", value.D("y", 1, "x", 2), "a", 1))
	b := measure(t, o, "t", at(0), "m", value.D("a", 1, "b", value.D("x", 2, "y", 1)))
	assert.True(t, timeseries.SameMeta(a.Meta, b.Meta))
	assert.False(t, timeseries.SameMeta(a.Meta, measure(t, o, "t", at(0), "m", value.D("a", 2)).Meta))
	assert.False(t, timeseries.SameMeta(a.Meta, measure(t, o, "t", at(0)).Meta))
}

// A bucket begins at a rounded time, which its _id begins with, and says
// between what its values lie.
func TestBucket(t *testing.T) {
	o := parse(t, "metaField", "m")
	first := measure(t, o, "_id", 1, "t", at(90*time.Second), "m", "a", "v", 5, "in", value.D("x", 1, "l", value.A(3, 1)))
	b := o.NewBucket(first)
	b.Add(first)
	b.Add(measure(t, o, "_id", 2, "t", at(80*time.Second), "m", "a", "v", 2.5, "in", value.D("x", 0, "y", 9, "l", value.A(2, 4))))
	doc := b.Document()
	id, _ := doc.Lookup("_id").ObjectIDOK()
	assert.Equal(t, noon.Add(time.Minute), id.Timestamp().UTC())
	want := value.D(
		"control", value.D("version", 1,
			"min", value.D("_id", 1, "t", at(time.Minute), "v", 2.5, "in", value.D("x", 0, "l", value.A(2, 1), "y", 9)),
			"max", value.D("_id", 2, "t", at(90*time.Second), "v", 5, "in", value.D("x", 1, "l", value.A(3, 4), "y", 9))),
		"meta", "a",
		"data", value.D(
			"_id", value.D("0", 1, "1", 2), "t", value.D("0", at(90*time.Second), "1", at(80*time.Second)), "v", value.D("0", 5, "1", 2.5),
			"in", value.D("0", value.D("x", 1, "l", value.A(3, 1)), "1", value.D("x", 0, "y", 9, "l", value.A(2, 4)))),
	)
	for name, v := range value.Elements(want) {
		assert.Equal(t, v.String(), doc.Lookup(name).String(), name)
	}
}

func TestWhatFitsIntoABucket(t *testing.T) {
	o := parse(t, "metaField", "m")
	fill := func(n int, pairs ...any) *timeseries.Bucket {
		m := measure(t, o, append([]any{"t", at(90 * time.Second), "m", "a"}, pairs...)...)
		b := o.NewBucket(m)
		for range n {
			b.Add(m)
		}
		return b
	}
	big := make([]byte, 20<<10)
	for name, tt := range map[string]struct {
		b    *timeseries.Bucket
		m    timeseries.Measurement
		fits bool
	}{
		"its beginning":         {fill(1), measure(t, o, "t", at(time.Minute)), true},
		"before it":             {fill(1), measure(t, o, "t", at(time.Minute-1)), false},
		"its end":               {fill(1), measure(t, o, "t", at(61*time.Minute-1)), true},
		"behind it":             {fill(1), measure(t, o, "t", at(61*time.Minute)), false},
		"the last one":          {fill(999), measure(t, o, "t", at(time.Minute)), true},
		"one too many":          {fill(1000), measure(t, o, "t", at(time.Minute)), false},
		"too many bytes":        {fill(10, "v", big), measure(t, o, "t", at(time.Minute), "v", big), false},
		"a few large ones":      {fill(9, "v", big), measure(t, o, "t", at(time.Minute), "v", big), true},
		"another kind of value": {fill(1, "v", 1), measure(t, o, "t", at(time.Minute), "v", "one"), false},
		"another number":        {fill(1, "v", 1), measure(t, o, "t", at(time.Minute), "v", 1.5), true},
		"another kind inside":   {fill(1, "v", value.D("x", 1)), measure(t, o, "t", at(time.Minute), "v", value.D("x", "one")), false},
		"a new field":           {fill(1, "v", 1), measure(t, o, "t", at(time.Minute), "w", 1), true},
	} {
		assert.Equal(t, tt.fits, tt.b.Fits(tt.m), name)
	}
}

// Times before 1970 are rounded down too.
func TestEarlyTimes(t *testing.T) {
	o := parse(t)
	m := measure(t, o, "t", value.DateTime(-1))
	b := o.NewBucket(m)
	require.True(t, b.Fits(m))
	b.Add(m)
	assert.Equal(t, int64(-60_000), b.Document().Lookup("control", "min", "t").DateTime())
}

// What goes into buckets comes out again, however often they are stored and
// loaded in between, with the time first and the metadata second.
func TestBucketsGiveBackWhatTheyGot(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	o := parse(t, "metaField", "m")
	for range 50 {
		var want []bson.M
		b := o.NewBucket(measure(t, o, "t", at(0), "m", "a"))
		for i := range 1 + r.IntN(30) {
			given := []any{"_id", i, "m", "a", "t", at(time.Duration(r.IntN(3_000_000)) * time.Millisecond)}
			for _, field := range []string{"x", "y", "z"} {
				if r.IntN(2) == 0 {
					given = append(given, field, r.IntN(100))
				}
			}
			m := measure(t, o, given...)
			require.True(t, b.Fits(m), "seed %d", seed)
			b.Add(m)
			want = append(want, decoded(t, m.Doc))
			if r.IntN(3) == 0 {
				var err error
				b, err = o.Load(b.Document())
				require.NoError(t, err, "seed %d", seed)
			}
		}
		docs, err := o.Unpacker().Unpack(b.Document())
		require.NoError(t, err)
		var got []bson.M
		for _, d := range docs {
			got = append(got, decoded(t, d))
			elements, err := d.Elements()
			require.NoError(t, err)
			assert.Equal(t, []string{"t", "m", "_id"}, []string{elements[0].Key(), elements[1].Key(), elements[2].Key()}, "seed %d", seed)
		}
		assert.Equal(t, want, got, "seed %d", seed)
		rebuilt, err := o.Rebuild(b.Document(), docs)
		require.NoError(t, err)
		again, err := o.Unpacker().Unpack(rebuilt)
		require.NoError(t, err)
		assert.Equal(t, docs, again, "seed %d", seed)
	}
}

func decoded(t *testing.T, doc bson.Raw) (m bson.M) {
	t.Helper()
	require.NoError(t, bson.Unmarshal(doc, &m))
	return m
}

func TestUnpackStage(t *testing.T) {
	o := parse(t, "metaField", "m")
	m := measure(t, o, "t", at(0), "m", 7, "v", 1, "w", 2)
	b := o.NewBucket(m)
	b.Add(m)
	for _, tt := range []struct {
		spec bson.Raw
		want bson.Raw
	}{
		{value.D("timeField", "t", "metaField", "m", "bucketMaxSpanSeconds", 3600), value.D("t", at(0), "m", 7, "v", 1, "w", 2)},
		{value.D("timeField", "t", "metaField", "m", "include", value.A("v")), value.D("v", 1)},
		{value.D("timeField", "t", "exclude", value.A("t", "w")), value.D("v", 1)},
	} {
		u, err := timeseries.NewUnpacker(value.Doc(tt.spec))
		require.NoError(t, err)
		docs, err := u.Unpack(b.Document())
		require.NoError(t, err)
		assert.Equal(t, []bson.Raw{tt.want}, docs)
	}
	for _, spec := range []bson.RawValue{
		value.Int32(1), value.Doc(value.D("metaField", "m")), value.Doc(value.D("timeField", 1)),
		value.Doc(value.D("timeField", "t", "odd", 1)), value.Doc(value.D("timeField", "t", "include", "v")),
	} {
		_, err := timeseries.NewUnpacker(spec)
		require.Error(t, err, "%s", spec)
	}
	u := o.Unpacker()
	_, err := u.Unpack(value.D("_id", bson.NewObjectID(), "control", value.D("version", 2), "data", value.D("t", bson.Binary{Subtype: 7})))
	assert.True(t, mongoerr.Is(err, mongoerr.CommandNotSupported), "%v", err)
}
