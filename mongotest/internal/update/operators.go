package update

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// op is one operator on one path.
type op struct {
	path     []string
	text     string // the path as written
	modifier string // "$set"
	leaf     leaf
	// creates is false for the operators that leave a missing path missing.
	creates bool
	// strict operators fail where a scalar blocks their path although they
	// create nothing.
	strict bool
	// source is where a $rename takes its value from.
	source []string
	opts   Options
}

// leaf computes what becomes of the element at the end of a path.
type leaf func(t target) (outcome, error)

// target is the element an operator meets; cur has type 0 if it is missing.
type target struct {
	cur bson.RawValue
	key string
	op  *op
	run *run
}

func (t target) missing() bool { return t.cur.Type == 0 }

// outcome says what to do with the element.
type outcome struct {
	act   action
	value bson.RawValue
}

type action int

const (
	keep action = iota
	put
	drop
)

func putValue(v bson.RawValue) (outcome, error) { return outcome{act: put, value: v}, nil }

// operators is a compiled set of update operators.
type operators struct {
	ops     []*op
	filters map[string]*query.Matcher
	opts    Options
	paths   *trie // of all operators
}

// isOperators reports whether a document's first field makes it an operator
// update.
func isOperators(u bson.Raw) bool {
	k, _, ok := rawdoc.First(u)
	return ok && strings.HasPrefix(k, "$")
}

func compileOperators(u bson.Raw, o Options) (executor, error) {
	taken := &trie{}
	c := &operators{opts: o, paths: taken}
	for mod, args := range value.Elements(u) {
		compile, known := compilers[mod]
		if !known {
			return nil, mongoerr.New(mongoerr.FailedToParse, "Unknown modifier: %s. Expected a valid update modifier or pipeline-style update specified as an array", mod)
		}
		if args.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.FailedToParse, "Modifiers operate on fields but we found type %s instead. For example: {$mod: {<field>: ...}} not {%s}", rawdoc.TypeName(args.Type), rawdoc.RenderElement(mod, args))
		}
		for path, arg := range value.Elements(args.Value) {
			op, err := compileOp(&op{text: path, modifier: mod, creates: true, opts: o}, arg, compile, taken)
			if err != nil {
				return nil, err
			}
			c.ops = append(c.ops, op)
		}
	}
	if err := c.compileFilters(u); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.ops, func(a, b *op) int { return slices.CompareFunc(a.path, b.path, compareComponents) })
	return c, nil
}

func compileOp(o *op, arg bson.RawValue, compile compiler, taken *trie) (*op, error) {
	path := o.text
	if err := compile(o, path, arg); err != nil {
		return nil, err
	}
	if o.source != nil {
		return o, takeRename(o, path, taken)
	}
	var err error
	if o.path, err = parsePath(path); err != nil {
		return nil, err
	}
	if err := taken.add(path, o.path); err != nil {
		return nil, err
	}
	return o, nil
}

// compareComponents orders path components as the server applies them:
// numbers by value, everything else byte by byte.
func compareComponents(a, b string) int {
	if isDigits(a) && isDigits(b) {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func (c *operators) apply(doc bson.Raw, arrayIdx int, insert bool) (bson.Raw, error) {
	ops := c.ops
	if !insert {
		ops = slices.DeleteFunc(slices.Clone(ops), func(o *op) bool { return o.modifier == "$setOnInsert" })
	}
	r := &run{root: newRoot(doc), pre: doc, arrayIdx: arrayIdx, ops: c, insert: insert}
	ops, err := r.renames(ops)
	if err != nil {
		return nil, err
	}
	if err := r.walk(r.root, ops, 0); err != nil {
		return nil, err
	}
	post := bson.Raw(r.root.value().Value)
	return post, c.checkID(doc, post)
}

// checkID refuses a change of _id.
func (c *operators) checkID(pre, post bson.Raw) error {
	was, had := value.Get(pre, "_id")
	is, has := value.Get(post, "_id")
	if !had || has && value.Equal(was, is) {
		return nil
	}
	path := "_id"
	for _, o := range c.ops {
		if o.path[0] == "_id" {
			path = o.text
		}
	}
	return mongoerr.New(mongoerr.ImmutableField, "Performing an update on the path '%s' would modify the immutable field '_id'", path)
}
