package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Views live as documents {_id: "db.view", viewOn, pipeline} in the database's
// system.views collection, and the oplog knows them only as such. The catalog
// entries of views repeat them.

// createView stores c, a view, in system.views and in the catalog.
func (tx *Tx) createView(c *Collection, m Meta) error {
	if tx.txn != nil {
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction,
			"Cannot create a view in a multi-document transaction.")
	}
	home := tx.Collection(c.DB() + "." + viewsName)
	if home == nil {
		var err error
		if home, err = tx.Create(c.DB()+"."+viewsName, CollectionSpec{}, m); err != nil {
			return err
		}
	}
	if _, err := tx.Insert(home, viewDoc(c), m); err != nil {
		return err
	}
	tx.put(c)
	return nil
}

// dropView removes a view.
func (tx *Tx) dropView(c *Collection, m Meta) error {
	if home, r, ok := tx.findView(c); ok {
		if err := tx.Delete(home, r.ID, m); err != nil {
			return err
		}
	}
	tx.take(c)
	return nil
}

// changeView stores a view's new definition.
func (tx *Tx) changeView(c *Collection, on string, pipeline bson.Raw, m Meta) error {
	home, r, ok := tx.findView(c)
	if !ok {
		return mongoerr.New(mongoerr.NamespaceNotFound, "view %s has no definition", c.NS)
	}
	changed := *c
	changed.opts.viewOn, changed.opts.pipeline = on, pipeline
	m.Form = FormReplacement
	if _, err := tx.Replace(home, r.ID, viewDoc(&changed), m); err != nil {
		return err
	}
	tx.saveEntry(c)
	c.opts.viewOn, c.opts.pipeline = on, pipeline
	c.Options = with(with(c.Options, "viewOn", value.String(on)), "pipeline", value.Array(pipeline))
	return nil
}

func (tx *Tx) findView(c *Collection) (home *Collection, r Rec, ok bool) {
	home = tx.Collection(c.DB() + "." + viewsName)
	if home == nil {
		return nil, Rec{}, false
	}
	r, ok = tx.FindID(home, value.String(c.NS))
	return home, r, ok
}

func viewDoc(c *Collection) bson.Raw {
	doc := value.D(idField, c.NS, "viewOn", c.opts.viewOn, "pipeline", value.Array(c.opts.pipeline))
	if c.opts.coll != nil {
		doc = with(doc, "collation", value.Doc(c.opts.coll.Doc()))
	}
	return doc
}
