package planning

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Query is what gives a query of a collection its shape.
type Query struct {
	Filter, Sort, Projection, Collation bson.Raw
	Stages                              string // what follows in a pipeline
}

// key is the shape of q for the cache of plans: the order of conditions and
// the types of constants make no difference.
func (q Query) key() string {
	parts := []string{filterKey(q.Filter), string(orEmpty(q.Sort)), projectionKey(q.Projection), string(orEmpty(q.Collation)), q.Stages}
	return strings.Join(parts, "\x00")
}

// Hash is a short name of the shape, as explain shows it.
func (q Query) Hash() string {
	sum := sha256.Sum256([]byte(q.key()))
	return strings.ToUpper(hex.EncodeToString(sum[:4]))
}

func orEmpty(d bson.Raw) bson.Raw {
	if d == nil {
		return value.D()
	}
	return d
}

// filterKey renders a filter with its conditions sorted and its constants left
// out.
func filterKey(filter bson.Raw) string {
	parts := conditionKeys(filter)
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

// conditionKeys are the keys of a filter's conditions, of those in $and too.
func conditionKeys(filter bson.Raw) []string {
	var parts []string
	for name, v := range value.Elements(filter) {
		if name == "$and" {
			for _, branch := range value.Elements(v.Value) {
				parts = append(parts, conditionKeys(branch.Value)...)
			}
			continue
		}
		parts = append(parts, name+conditionKey(name, v))
	}
	return parts
}

// projectionKey renders a projection with its fields sorted.
func projectionKey(projection bson.Raw) string {
	var parts []string
	for name, v := range value.Elements(projection) {
		parts = append(parts, name+"\x01"+string(rune(v.Type))+string(v.Value))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func conditionKey(name string, v bson.RawValue) string {
	switch name {
	case "$or", "$nor":
		var parts []string
		for _, branch := range value.Elements(v.Value) {
			parts = append(parts, filterKey(branch.Value))
		}
		slices.Sort(parts)
		return "[" + strings.Join(parts, ",") + "]"
	case "$expr":
		return ""
	case "$jsonSchema":
		return string(v.Value)
	}
	d, ok := v.DocumentOK()
	if !ok || !isOperators(d) {
		if v.Type == bson.TypeRegex {
			return "$regex"
		}
		return "$eq"
	}
	var parts []string
	for op, arg := range value.Elements(d) {
		inner, isDoc := arg.DocumentOK()
		switch {
		case op == "$not" && isDoc:
			op += conditionKey("", arg)
		case op == "$elemMatch" && isDoc && isOperators(inner):
			op += conditionKey("", arg)
		case op == "$elemMatch" && isDoc:
			op += filterKey(inner)
		case op == "$exists":
			op += strconv.FormatBool(value.Truthy(arg))
		case op == "$in", op == "$all": // of one value they are an equality
			op += strconv.FormatBool(single(arg))
		}
		parts = append(parts, op)
	}
	slices.Sort(parts)
	return strings.Join(parts, "")
}

func single(array bson.RawValue) bool {
	n := 0
	for range value.Elements(array.Value) {
		n++
	}
	return n == 1
}

// isOperators reports whether a condition is made of operators.
func isOperators(d bson.Raw) bool {
	for name := range value.Elements(d) {
		return strings.HasPrefix(name, "$") && name != "$ref" && name != "$id" && name != "$db"
	}
	return false
}

// typedFilter is the shape of a filter as query settings show it: constants are
// replaced by the names of their types.
func typedFilter(filter bson.Raw) bson.Raw {
	var conds []bson.Raw
	for name, v := range value.Elements(filter) {
		if name == "$and" {
			for _, branch := range value.Elements(v.Value) {
				conds = append(conds, typedFilter(branch.Value))
			}
			continue
		}
		conds = append(conds, value.D(name, typedCondition(name, v)))
	}
	switch len(conds) {
	case 0:
		return value.D()
	case 1:
		return conds[0]
	default:
		return value.D("$and", conds)
	}
}

func typedCondition(name string, v bson.RawValue) bson.RawValue {
	switch name {
	case "$or", "$nor":
		var branches []bson.RawValue
		for _, branch := range value.Elements(v.Value) {
			branches = append(branches, value.Doc(typedFilter(branch.Value)))
		}
		return value.ArrayOf(branches...)
	case "$expr":
		return typedTree(v)
	case "$jsonSchema": // what it asks for is part of the shape
		return v
	}
	d, ok := v.DocumentOK()
	if !ok || !isOperators(d) {
		return value.Doc(value.D("$eq", typedConstant(v)))
	}
	var pairs []any
	for op, arg := range value.Elements(d) {
		inner, isDoc := arg.DocumentOK()
		switch {
		case op == "$not" && isDoc, op == "$elemMatch" && isDoc && isOperators(inner):
			pairs = append(pairs, op, typedCondition("", arg))
		case op == "$elemMatch" && isDoc:
			pairs = append(pairs, op, typedFilter(inner))
		case op == "$exists":
			pairs = append(pairs, op, value.Truthy(arg))
		case op == "$type" && arg.Type != bson.TypeArray:
			pairs = append(pairs, op, value.ArrayOf(arg))
		case op == "$type":
			pairs = append(pairs, op, arg)
		default:
			pairs = append(pairs, op, typedConstant(arg))
		}
	}
	return value.Doc(value.D(pairs...))
}

// typedTree replaces the constants inside an expression or a stage; field paths
// and names stay.
func typedTree(v bson.RawValue) bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		var pairs []any
		for name, x := range value.Elements(v.Value) {
			if name == "$match" && x.Type == bson.TypeEmbeddedDocument {
				pairs = append(pairs, name, typedFilter(x.Value))
				continue
			}
			pairs = append(pairs, name, typedTree(x))
		}
		return value.Doc(value.D(pairs...))
	case bson.TypeArray:
		var vals []bson.RawValue
		for _, x := range value.Elements(v.Value) {
			vals = append(vals, typedTree(x))
		}
		return value.ArrayOf(vals...)
	case bson.TypeString:
		if strings.HasPrefix(v.StringValue(), "$") {
			return v
		}
		return typedConstant(v)
	default:
		return typedConstant(v)
	}
}

// typedConstant is the placeholder of a constant: "?number", "?array<?string>".
func typedConstant(v bson.RawValue) bson.RawValue { return value.String("?" + constantType(v)) }

func constantType(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return "number"
	case bson.TypeArray:
		inner := ""
		for _, x := range value.Elements(v.Value) {
			t := "<?" + constantType(x) + ">"
			if inner != "" && inner != t {
				return "array<>"
			}
			inner = t
		}
		return "array" + inner
	default:
		return value.TypeName(v.Type)
	}
}
