package mongod

import (
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A collationArg is the collation argument of a command or statement. One that
// is not given means the collection's.
type collationArg struct {
	coll  *collation.Collation
	given bool
}

// collation reads the collation argument; an empty document is none.
func (a *args) collation() collationArg {
	c := a.doc("collation")
	if isEmpty(c) {
		return collationArg{}
	}
	coll, err := collation.Parse(c)
	if err != nil && a.err == nil {
		a.err = err
	}
	return collationArg{coll: coll, given: true}
}

// collationOn returns how a command on coll compares strings: as it says, or as
// the collection does. A view takes no other than its own.
func (op *operation) collationOn(coll string, arg collationArg) (*collation.Collation, error) {
	if coll == noCollection {
		return arg.coll, nil
	}
	err := op.view(func(tx *storage.Tx) error {
		c := tx.Collection(op.req.DB + "." + coll)
		if c.Collation() == nil && !arg.given { // as nearly always
			return nil
		}
		if c != nil && c.IsView() && !c.IsTimeseries() && arg.given && !arg.coll.Same(c.Collation()) {
			return mongoerr.New(mongoerr.OptionNotSupportedOnView, "Cannot override a view's default collation%s.%s", op.req.DB, coll)
		}
		if !arg.given {
			arg.coll = c.Collation()
		}
		return nil
	})
	return arg.coll, err
}

// sameCollation refuses to read a view with another collation than its own.
func sameCollation(c *storage.Collection, coll *collation.Collation) error {
	if c == nil || !c.IsView() || c.IsTimeseries() || coll.Same(c.Collation()) {
		return nil
	}
	return mongoerr.New(mongoerr.OptionNotSupportedOnView, "Cannot override default collation of collection or view %s", c.NS)
}

// collated returns l for a statement that compares strings by coll.
func (l *language) collated(coll *collation.Collation) *language {
	if l.vars.Collation() == coll {
		return l
	}
	c := *l
	c.vars = l.vars.Collated(coll)
	return &c
}
