package storage

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A time-series collection NAME is a view on the collection
// system.buckets.NAME; the oplog knows nothing else. The two live and die
// together.

// Timeseries returns the options of a time-series collection, also for the
// collection of its buckets; nil for all others.
func (c *Collection) Timeseries() *timeseries.Options { return c.opts.series }

// IsTimeseries reports whether it is a time-series collection as clients see
// it: what holds its buckets is Tx.Buckets.
func (c *Collection) IsTimeseries() bool { return c.opts.series != nil && c.IsView() }

// Buckets returns the collection that holds the buckets of a time-series
// collection, nil if it is gone or c is none.
func (tx *Tx) Buckets(c *Collection) *Collection {
	if !c.IsTimeseries() {
		return nil
	}
	return tx.Collection(bucketsNS(c.NS))
}

// isBuckets reports whether ns is the name of a collection of buckets.
func isBuckets(ns string) bool {
	_, coll := oplog.SplitNS(ns)
	return strings.HasPrefix(coll, timeseries.BucketsPrefix)
}

func bucketsNS(ns string) string {
	db, coll := oplog.SplitNS(ns)
	return db + "." + timeseries.BucketsPrefix + coll
}

// seriesOf returns the time-series collection whose buckets c holds, nil if
// there is none.
func (tx *Tx) seriesOf(c *Collection) *Collection {
	if !isBuckets(c.NS) {
		return nil
	}
	view := tx.Collection(c.DB() + "." + strings.TrimPrefix(c.Name(), timeseries.BucketsPrefix))
	if view == nil || !view.IsTimeseries() {
		return nil
	}
	return view
}

// createTimeseries makes a time-series collection: its buckets, unless they are
// there already, with the index they begin with, and the view.
func (tx *Tx) createTimeseries(ns string, spec CollectionSpec, opts options, shown bson.Raw, m Meta) (*Collection, error) {
	if tx.txn != nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Cannot create a time-series collection in a multi-document transaction.")
	}
	buckets := make([]byte, 4, len(shown)+1024)
	buckets = value.Append(buckets, "validator", value.Doc(opts.series.Validator()))
	buckets = value.Append(buckets, "clusteredIndex", value.Bool(true))
	options := finishDoc(appendDoc(buckets, shown))
	home := tx.Collection(bucketsNS(ns))
	if home != nil && !home.MadeWith(options) {
		return nil, mongoerr.New(mongoerr.NamespaceExists, "Collection %s already exists with other options.", home.NS)
	}
	if home == nil {
		var err error
		if home, err = tx.Create(bucketsNS(ns), CollectionSpec{Options: options, UUID: spec.UUID}, m); err != nil {
			return nil, err
		}
		if index := opts.series.DefaultIndex(); index != nil && spec.MetaIndex {
			if _, err := tx.CreateIndexes(home, []bson.Raw{index}, m); err != nil {
				return nil, err
			}
		}
	}
	c := &Collection{ident: tx.e.journal.Load().newIdent()}
	c.entry = entry{NS: ns, Options: shown, opts: opts.onBuckets(ns), schema: tx.e.seq}
	return c, tx.createView(c, m)
}

// onBuckets makes the options of a time-series collection those of a view.
func (o options) onBuckets(ns string) options {
	if o.series != nil && !isBuckets(ns) {
		_, coll := oplog.SplitNS(ns)
		o.viewOn, o.pipeline = timeseries.BucketsPrefix+coll, o.series.ViewPipeline()
	}
	return o
}

// modTimeseries changes a time-series collection: first the view, then the
// buckets, which hold the options.
func (tx *Tx) modTimeseries(c *Collection, mod bson.Raw, m Meta) (bson.D, error) {
	home := tx.Buckets(c)
	if home == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", bucketsNS(c.NS))
	}
	mod, err := c.bucketsMod(mod)
	if err != nil {
		return nil, err
	}
	changed := *c.opts.series
	if d, ok := mod.Lookup("timeseries").DocumentOK(); ok {
		if changed, err = changed.Modify(d); err != nil {
			return nil, err
		}
	}
	if changed != *c.opts.series {
		shown := c.Options
		if err := tx.changeView(c, c.opts.viewOn, changed.ViewPipeline(), m); err != nil {
			return nil, err
		}
		c.Options = shown
	}
	reply, err := tx.CollMod(home, mod, m)
	if err != nil {
		return nil, err
	}
	tx.saveEntry(c)
	c.opts.series, c.opts.expireAfter = home.opts.series, home.opts.expireAfter
	c.Options = without(home.Options, "validator", "validationLevel", "validationAction", "clusteredIndex")
	return reply, nil
}

// bucketsMod turns a collMod of a time-series collection into one of its
// buckets.
func (c *Collection) bucketsMod(mod bson.Raw) (bson.Raw, error) {
	out := make([]byte, 4, len(mod)+64)
	err := eachElement(mod, func(key string, v bson.RawValue) error {
		switch key {
		case "timeseries", "expireAfterSeconds":
		case "cappedSize", "cappedMax":
			return nil // which mean nothing here, as on a server
		case "index":
			d, err := documentOption(key, v)
			if err != nil {
				return err
			}
			if pattern, ok := d.Lookup("keyPattern").DocumentOK(); ok {
				mapped, err := c.opts.series.BucketKey(pattern)
				if err != nil {
					return mongoerr.New(mongoerr.IndexNotFound, "%s", mongoerr.From(err).Message)
				}
				v = value.Doc(with(d, "keyPattern", value.Doc(mapped)))
			}
		default:
			return mongoerr.New(mongoerr.InvalidOptions, "option not supported on a time-series collection: %s", key)
		}
		out = value.Append(out, key, v)
		return nil
	})
	return finishDoc(out), err
}

// seriesOption is collMod's timeseries document on a collection of buckets.
func (p *collMod) seriesOption(key string, v bson.RawValue) error {
	if p.c.opts.series == nil {
		return mongoerr.New(mongoerr.InvalidOptions, "option only supported on a time-series collection: %s", key)
	}
	d, err := documentOption(key, v)
	if err != nil {
		return err
	}
	changed, err := p.c.opts.series.Modify(d)
	p.options = with(p.options, key, value.Doc(changed.Document()))
	return err
}

// checkNotOfBuckets refuses what only an index on buckets may have.
func (ix *Index) checkNotOfBuckets() error {
	for _, f := range ix.fields {
		if f.special == timeseries.SphereBuckets {
			return unsupportedIndex(f.special, f.name)
		}
	}
	if _, ok := value.Get(ix.Spec, timeseries.OriginalSpec); ok {
		return mongoerr.New(mongoerr.InvalidIndexSpecificationOption,
			"The field '%s' is not valid for an index specification. Specification: %s", timeseries.OriginalSpec, render(ix.Spec))
	}
	return nil
}

// RenameTimeseries gives a time-series collection another name in its database,
// which must be free. The server knows this for its own temporary ones only.
func (tx *Tx) RenameTimeseries(c *Collection, to string, m Meta) error {
	home := tx.Buckets(c)
	if err := tx.checkNew(to); err != nil {
		return err
	}
	if err := tx.DropAlone(c, m); err != nil {
		return err
	}
	tx.renameWithin(home, bucketsNS(to), nil, m)
	_, err := tx.Create(to, CollectionSpec{Options: c.Options}, m)
	return err
}
