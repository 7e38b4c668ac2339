package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An index with a collation holds the comparison keys of strings in place of the
// strings. The _id index has the collection's collation, and the others have it
// unless they are made with one of their own.

// Collation is the collection's or view's default collation, nil if it is the
// simple one.
func (c *Collection) Collation() *collation.Collation {
	if c == nil {
		return nil
	}
	return c.opts.coll
}

// Collation is how the index compares strings, nil if by their bytes.
func (ix *Index) Collation() *collation.Collation { return ix.coll }

// IndexSpecs returns the specifications of all indexes but that on _id, so that
// they make the same indexes in a collection with the same options.
func (c *Collection) IndexSpecs() []bson.Raw {
	specs := make([]bson.Raw, 0, len(c.indexes))
	for _, ix := range c.indexes[1:] {
		spec := ix.Spec
		if ix.coll == nil && c.opts.coll != nil {
			spec = with(spec, "collation", value.Doc(value.D("locale", "simple")))
		}
		specs = append(specs, spec)
	}
	return specs
}

// collation reads the option of an index specification. It is kept in its full
// form; the simple collation is not shown.
func (p *specParser) collation(v bson.RawValue) error {
	d, err := p.document("collation", v)
	if err != nil {
		return err
	}
	if value.IsEmpty(d) {
		return mongoerr.New(mongoerr.BadValue, "Error in specification %s :: caused by :: The field 'collation' cannot be an empty object.", render(p.spec))
	}
	if p.ix.coll, err = collation.Parse(d); err != nil {
		return err
	}
	p.ownCollation = true
	if p.ix.coll != nil {
		p.rest = value.Append(p.rest, "collation", value.Doc(p.ix.coll.Doc()))
	}
	return nil
}

// inherit gives an index without a collation of its own the collection's.
func (p *specParser) inherit(coll *collation.Collation) {
	if p.ownCollation || coll == nil {
		return
	}
	p.ix.coll = coll
	p.rest = value.Append(p.rest, "collation", value.Doc(coll.Doc()))
}

// checkCollation refuses a collation where the type of the index has no place
// for one.
func (ix *Index) checkCollation() error {
	for _, f := range ix.fields {
		if ix.coll != nil && (f.special == kindText || f.special == kind2d) {
			return mongoerr.New(mongoerr.CannotCreateIndex, "Index type '%s' does not support collation: %s", f.special, render(ix.coll.Doc()))
		}
	}
	return nil
}

// collatedKey returns the values of a duplicate key as the server shows them: a
// comparison key is no text.
func (ix *Index) collatedKey(vals []bson.RawValue) (shown, hexEncoded []bson.RawValue) {
	for _, v := range vals {
		isText := v.Type == bson.TypeString
		if isText {
			v = value.String(ix.coll.Shown(v))
		} else {
			v = ix.coll.Key(v)
		}
		shown, hexEncoded = append(shown, v), append(hexEncoded, value.Bool(isText))
	}
	return shown, hexEncoded
}

// checkIDCollation holds the collation of create's idIndex against the
// collection's.
func (o *options) checkIDCollation() error {
	d, ok := o.idCollation.DocumentOK()
	if !ok {
		return nil
	}
	coll, err := collation.Parse(d)
	if err != nil || coll.Same(o.coll) {
		return err
	}
	return otherIDCollation(coll, o.coll)
}

func otherIDCollation(index, collection *collation.Collation) error {
	show := func(c *collation.Collation) string {
		if c == nil {
			return `{ locale: "simple" }`
		}
		return render(c.Doc())
	}
	return mongoerr.New(mongoerr.BadValue, "The _id index must have the same collation as the collection. Index collation: %s, collection collation: %s",
		show(index), show(collection))
}
