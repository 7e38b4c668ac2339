package timeseries

import (
	"encoding/binary"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The limits of a bucket: measurements, bytes, and the bytes that it may have
// while there are only a few large measurements in it.
const (
	maxCount     = 1000
	maxSize      = 125 << 10
	maxLargeSize = 12 << 20
	fewCount     = 10
)

// A Bucket is one being filled.
type Bucket struct {
	opts    Options
	id      bson.ObjectID
	meta    bson.RawValue
	from    int64 // control.min of the time field
	columns []column
	byName  map[string]int
	count   int
	size    int
}

// A column holds one field of the measurements: elements named by row.
type column struct {
	name     string
	cells    []byte
	min, max bson.RawValue
}

// NewBucket returns an empty bucket for measurements like m from its time on.
func (o Options) NewBucket(m Measurement) *Bucket {
	b := &Bucket{opts: o, id: bson.NewObjectID(), meta: m.Meta, from: o.round(m.Time), byName: map[string]int{}}
	stamp(&b.id, b.from)
	return b
}

// stamp makes the id that of a bucket of the time ms: so buckets lie in the
// order of time.
func stamp(id *bson.ObjectID, ms int64) { binary.BigEndian.PutUint32(id[:4], uint32(ms/1000)) }

// FirstID is the smallest id that a bucket of the time ms may have.
func FirstID(ms int64) (id bson.ObjectID) {
	stamp(&id, ms)
	return id
}

// Load reads a stored bucket to go on filling it.
func (o Options) Load(doc bson.Raw) (*Bucket, error) {
	if err := readable(doc); err != nil {
		return nil, err
	}
	b := &Bucket{opts: o, byName: map[string]int{}, meta: doc.Lookup("meta")}
	b.id, _ = doc.Lookup("_id").ObjectIDOK()
	control, _ := doc.Lookup("control").DocumentOK()
	data, _ := doc.Lookup("data").DocumentOK()
	lows, _ := control.Lookup("min").DocumentOK()
	highs, _ := control.Lookup("max").DocumentOK()
	for name, v := range value.Elements(data) {
		d, ok := v.DocumentOK()
		if !ok {
			return nil, damaged(doc)
		}
		low, _ := value.Get(lows, name)
		high, _ := value.Get(highs, name)
		b.size += len(d)
		b.byName[name] = len(b.columns)
		b.columns = append(b.columns, column{name: name, cells: append([]byte(nil), d[4:len(d)-1]...), min: low, max: high})
		if name == o.TimeField {
			b.from, _ = low.DateTimeOK()
			for row := range value.Elements(d) {
				n, err := strconv.Atoi(row)
				if err != nil {
					return nil, damaged(doc)
				}
				b.count = n + 1
			}
		}
	}
	return b, nil
}

// The server's code for a bucket whose data is not what it should be.
const codeDamaged mongoerr.Code = 5346510

func damaged(doc bson.Raw) error {
	return mongoerr.New(codeDamaged, "The $_internalUnpackBucket stage requires the data of bucket %s to hold documents", doc.Lookup("_id"))
}

// readable refuses compressed buckets.
func readable(doc bson.Raw) error {
	version, _ := value.AsInt64(doc.Lookup("control", "version"))
	if version != 1 {
		return mongoerr.New(mongoerr.CommandNotSupported, "buckets of version %d are not supported by this simulated server", version)
	}
	return nil
}

// Fits reports whether a measurement, of the bucket's metadata, may be added.
func (b *Bucket) Fits(m Measurement) bool {
	size := b.size + len(m.Doc)
	switch {
	case m.Time < b.from || m.Time-b.from >= b.opts.MaxSpan*1000:
		return false
	case b.count == 0:
		return true
	case b.count >= maxCount, size > maxSize && b.count >= fewCount, size > maxLargeSize:
		return false
	}
	for name, v := range value.Elements(m.Doc) {
		if i, ok := b.byName[name]; ok && !alike(b.columns[i].min, v) {
			return false
		}
	}
	return true
}

// Add adds a measurement that fits.
func (b *Bucket) Add(m Measurement) {
	row := strconv.Itoa(b.count)
	for name, v := range value.Elements(m.Doc) {
		if name == b.opts.MetaField && name != b.opts.TimeField {
			continue
		}
		i, ok := b.byName[name]
		if !ok {
			i = len(b.columns)
			b.byName[name] = i
			b.columns = append(b.columns, column{name: name})
		}
		c := &b.columns[i]
		c.cells = value.Append(c.cells, row, v)
		c.max = extreme(c.max, v, greatest)
		if name == b.opts.TimeField {
			c.min = value.DateTime(b.from)
		} else {
			c.min = extreme(c.min, v, least)
		}
	}
	b.count++
	b.size += len(m.Doc)
}

// Document renders the bucket as it is stored.
func (b *Bucket) Document() bson.Raw {
	lows, highs, data := newDoc(256), newDoc(256), newDoc(b.size+64*len(b.columns))
	for _, c := range b.columns {
		lows = value.Append(lows, c.name, c.min)
		highs = value.Append(highs, c.name, c.max)
		cells := append(newDoc(len(c.cells)), c.cells...)
		data = value.Append(data, c.name, value.Doc(endDoc(cells)))
	}
	dst := value.Append(newDoc(len(data)+len(lows)+len(highs)+128), "_id", value.ObjectID(b.id))
	dst = value.Append(dst, "control", value.Doc(value.D("version", int32(1), "min", endDoc(lows), "max", endDoc(highs))))
	if b.meta.Type != 0 {
		dst = value.Append(dst, "meta", b.meta)
	}
	return endDoc(value.Append(dst, "data", value.Doc(endDoc(data))))
}

// Rebuild returns the bucket doc with other measurements, all of its metadata.
// There is at least one.
func (o Options) Rebuild(doc bson.Raw, kept []bson.Raw) (bson.Raw, error) {
	b := &Bucket{opts: o, meta: doc.Lookup("meta"), byName: map[string]int{}}
	b.id, _ = doc.Lookup("_id").ObjectIDOK()
	ms := make([]Measurement, len(kept))
	for i, d := range kept {
		var err error
		if ms[i], err = o.Measure(d); err != nil {
			return nil, err
		}
		if t := o.round(ms[i].Time); i == 0 || t < b.from {
			b.from = t
		}
	}
	for _, m := range ms {
		b.Add(m)
	}
	return b.Document(), nil
}
