package mongod

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// errDryRun undoes a collMod that was only to be tried.
var errDryRun = errors.New("dry run")

func runCollMod(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	mod, dryRun, err := op.modification()
	if err != nil {
		return nil, err
	}
	var reply bson.D
	ns := op.req.DB + "." + coll
	err = op.write(ctx, ns, func(tx *storage.Tx) error {
		if err := op.checkUUID(tx, coll); err != nil {
			return err
		}
		c := tx.Collection(ns)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist")
		}
		if err := op.checkDefinition(tx, coll, mod, c); err != nil {
			return err
		}
		if reply, err = tx.CollMod(c, mod, op.ddlMeta()); err == nil && dryRun {
			return errDryRun
		}
		return err
	})
	if errors.Is(err, errDryRun) {
		return emptyDoc(), nil
	}
	if err != nil {
		return nil, err
	}
	var pairs []any
	for _, e := range reply {
		pairs = append(pairs, e.Key, e.Value)
	}
	return value.D(pairs...), nil
}

// modification returns what collMod is to change, and whether only to try.
func (op *operation) modification() (mod bson.Raw, dryRun bool, err error) {
	a := op.args()
	dryRun = a.bool("dryRun", false)
	index := a.doc("index")
	if dryRun && !value.Truthy(index.Lookup("unique")) {
		a.fail(mongoerr.InvalidOptions, "collMod does not support 'dryRun' without converting an index to unique")
	}
	mod = without(op.commandOptions(), func(name string) bool { return name == "dryRun" || name == "index" })
	if index != nil {
		mod = appendFields(mod, "index", without(index, func(name string) bool { return index.Lookup(name).Type == bson.TypeNull }))
	}
	return mod, dryRun, a.err
}
