package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/geo"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const codeNearNotAllowed mongoerr.Code = 5626500

// regionTest is $geoWithin or $geoIntersects.
type regionTest struct{ *geo.Region }

func (t regionTest) test(v bson.RawValue) (bool, error) { return t.Holds(v), nil }

// Near is the $near or $nearSphere condition of a filter. Who runs the filter
// has to have an index that serves it, and gives documents in the order of
// their Distance unless another order is wanted.
type Near struct {
	*geo.Near

	Field string
}

// Distance returns how far a document is from the condition's place; not ok if
// it does not match.
func (n *Near) Distance(doc bson.Raw) (d float64, ok bool) {
	return n.Near.Distance(value.LookupAll(doc, n.Field))
}

// Nearest returns the value of a document that its Distance is to.
func (n *Near) Nearest(doc bson.Raw) bson.RawValue {
	return n.Near.Nearest(value.LookupAll(doc, n.Field))
}

func (n *Near) match(_ *run, doc bson.Raw) (bool, error) {
	_, ok := n.Distance(doc)
	return ok, nil
}

// Near returns the filter's nearness condition, nil if it has none.
func (m *Matcher) Near() *Near { return m.near }

// isNear reports whether a field's condition is one of nearness, which is read
// as a whole: distances stand beside the operator.
func isNear(v bson.RawValue) bool { return isOperators(v) && geo.IsNear(firstName(bson.Raw(v.Value))) }

// nearness parses the condition of a field that isNear.
func (p *parser) nearness(field string, v bson.RawValue) (node, error) {
	switch {
	case !p.o.Near:
		return nil, mongoerr.New(codeNearNotAllowed, "$geoNear, $near, and $nearSphere are not allowed in this context, "+
			"as these operators require sorting geospatial data. If you do not need sort, consider using $geoWithin instead. "+
			"Check out https://dochub.mongodb.org/core/near-sort-operation and https://dochub.mongodb.org/core/nearSphere-sort-operation for more details.")
	case p.elems > 0 || p.branches > 0:
		return nil, badValue("geo $near must be top-level expr")
	case p.near != nil:
		return nil, badValue("Too many geoNear expressions")
	}
	n, err := geo.ParseNear(bson.Raw(v.Value))
	if err != nil {
		return nil, err
	}
	p.near = &Near{Near: n, Field: field}
	return p.near, nil
}

func parseRegion(op string, arg bson.RawValue, doc bson.Raw) (cond, error) {
	for name, v := range value.Elements(doc) {
		if name != op {
			return nil, badValue("can't parse extra field: %s", rawdoc.RenderElement(name, v))
		}
	}
	r, err := geo.ParseRegion(op, arg)
	return leafCond{pred: regionTest{r}}, err
}
