package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// openStream makes the cursor of a change stream.
func (op *operation) openStream(a aggregateCommand) (*cursor, error) {
	if op.txn != nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "$changeStream cannot be used in a transaction")
	}
	if l := op.concern.named(); l != "" && l != "majority" {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "$changeStream cannot run with a readConcern other than 'majority'. Current readConcern: %s", l)
	}
	coll := a.coll
	if coll == noCollection {
		coll = ""
	}
	spec, err := changestream.ParseSpec(a.stages[0], op.req.DB, coll)
	if err != nil {
		return nil, err
	}
	spec.Collation = a.collation.coll
	spec.NeedsMerge = op.args().bool("needsMerge", false)
	if err := op.checkStreamTarget(coll); err != nil {
		return nil, err
	}
	s, err := changestream.Open(nodeLog{op.node}, catalogView{node: op.node}, spec, a.stages[1:], op.node.cfg.Version)
	if err != nil {
		return nil, err
	}
	return &cursor{
		ns: op.req.DB + "." + a.coll, number: noNumber, feed: streamFeed{stream: s},
		isStream: true, await: true,
	}, nil
}

// checkStreamTarget refuses streams on views, and on another collection than
// the one meant.
func (op *operation) checkStreamTarget(coll string) error {
	if coll == "" {
		return nil
	}
	return op.view(func(tx *storage.Tx) error {
		if c := tx.Collection(op.req.DB + "." + coll); c != nil && c.IsView() {
			return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", c.NS)
		}
		return op.checkUUID(tx, coll)
	})
}

// catalogView is what change streams ask about the data.
type catalogView struct{ node *Node }

// ShardKey implements changestream.Catalog.
func (v catalogView) ShardKey(id value.UUID) (key bson.Raw) {
	err := v.node.view(func(tx *storage.Tx) error {
		if c := tx.CollectionByUUID(id); c != nil {
			key = c.ShardKey
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return key
}

// LookupDoc implements changestream.Catalog.
func (v catalogView) LookupDoc(id value.UUID, documentKey bson.Raw) (doc bson.Raw, found bool) {
	err := v.node.view(func(tx *storage.Tx) error {
		c := tx.CollectionByUUID(id)
		if c == nil {
			return nil
		}
		rec, ok := tx.FindID(c, documentKey.Lookup("_id"))
		if !ok {
			return nil
		}
		matches, err := query.Compile(equalities(documentKey), query.Options{Expr: never})
		if err != nil {
			return err
		}
		found, err = matches.Match(rec.Doc)
		doc = rec.Doc
		return err
	})
	if err != nil || !found {
		return nil, false
	}
	return doc, true
}

// equalities turns a documentKey into a filter.
func equalities(documentKey bson.Raw) bson.Raw {
	var pairs []any
	for name, v := range value.Elements(documentKey) {
		pairs = append(pairs, name, value.D("$eq", v))
	}
	return value.D(pairs...)
}
