package mongod

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runConvertToCapped replaces a collection by a capped one that has its latest
// documents, and no index but that of _id.
func runConvertToCapped(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	size, err := op.cappedSize()
	if err != nil {
		return nil, err
	}
	ns := op.req.DB + "." + coll
	return emptyDoc(), op.write(ctx, ns, func(tx *storage.Tx) error {
		temporary := op.req.DB + ".tmp" + value.NewUUID().String()[:8] + ".convertToCapped." + coll
		if err := op.copyCapped(tx, ns, temporary, size); err != nil {
			return err
		}
		return tx.Rename(temporary, ns, true, op.ddlMeta())
	})
}

// runCloneAsCapped copies a collection into a new capped one.
func runCloneAsCapped(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	from, to := a.lookup(op.req.Name), a.lookup("toCollection")
	for field, v := range map[string]bson.RawValue{op.req.Name: from, "toCollection": to} {
		if v.Type != bson.TypeString {
			a.mismatch(field, "string", v)
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	source, target := op.req.DB+"."+from.StringValue(), op.req.DB+"."+to.StringValue()
	for _, coll := range []string{from.StringValue(), to.StringValue()} {
		if err := checkNS(op.req.DB, coll); err != nil {
			return nil, err
		}
		if strings.Contains(coll, "$") {
			return nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid collection name: %s", coll)
		}
	}
	size, err := op.cappedSize()
	if err != nil {
		return nil, err
	}
	return emptyDoc(), op.write(ctx, target, func(tx *storage.Tx) error { return op.copyCapped(tx, source, target, size) })
}

// cappedSize reads the size of the capped collection to make.
func (op *operation) cappedSize() (int64, error) {
	size, ok := value.AsInt64(op.args().lookup("size"))
	if !ok || size <= 0 {
		return 0, mongoerr.New(mongoerr.InvalidOptions, "Capped collection size must be greater than zero")
	}
	return size, nil
}

// copyCapped makes the capped collection target with the latest documents of
// source that fit into it.
func (op *operation) copyCapped(tx *storage.Tx, source, target string, size int64) error {
	c, have := tx.Collection(source), tx.Collection(target)
	switch {
	case c == nil:
		return mongoerr.New(mongoerr.NamespaceNotFound, "source collection %s does not exist", source)
	case c.Timeseries() != nil && !c.IsView():
		return mongoerr.New(mongoerr.IllegalOperation, "cannot make the buckets of a time-series collection capped: %s", c.NS)
	case c.IsView():
		return viewError(c)
	case have != nil && have.IsView():
		return viewError(have)
	case have != nil:
		return mongoerr.New(mongoerr.NamespaceExists, "Target collection %s already exists.", target)
	}
	copied, err := tx.Create(target, storage.CollectionSpec{Options: value.D("capped", true, "size", size)}, op.ddlMeta())
	if err != nil {
		return err
	}
	var bytes int64
	var latest []bson.Raw
	for _, rec := range tx.Scan(c, storage.ScanSpec{Reverse: true}) {
		if bytes += int64(len(rec.Doc)); bytes > size {
			break
		}
		latest = append(latest, rec.Doc)
	}
	for i := len(latest) - 1; i >= 0; i-- {
		if _, err := tx.Insert(copied, latest[i], op.ddlMeta()); err != nil {
			return err
		}
	}
	return nil
}
