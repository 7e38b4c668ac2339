package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// whereNode is $where.
type whereNode func(doc bson.Raw) (bool, error)

func (n whereNode) match(_ *run, doc bson.Raw) (bool, error) { return n(doc) }

// where parses $where. Codes and words are those of the server's
// extensions_callback.cpp.
func (p *parser) where(v bson.RawValue) (node, error) {
	if p.o.Where == nil {
		return nil, badValue("$where is not allowed in this context")
	}
	if p.elems > 0 {
		return nil, badValue("$where can only be applied to the top-level document")
	}
	var code string
	switch v.Type {
	case bson.TypeString:
		code = v.StringValue()
	case bson.TypeJavaScript:
		code = v.JavaScript()
	case bson.TypeCodeWithScope:
		return nil, mongoerr.New(4649201, "$where no longer supports deprecated BSON type CodeWScope")
	default:
		return nil, badValue("$where got bad type")
	}
	if code == "" {
		return nil, badValue("code for $where cannot be empty")
	}
	test, err := p.o.Where(code)
	return whereNode(test), err
}
