package update

import (
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxPadding bounds the nulls that setting an array element far out may add.
const maxPadding = 1500000

// run is one application of operators to one document.
type run struct {
	root     *node
	pre      bson.Raw
	arrayIdx int
	ops      *operators
	insert   bool // the document is the base of an upsert
}

// walk applies ops, whose paths agree in their first depth components, to the
// element those lead to.
func (r *run) walk(n *node, ops []*op, depth int) error {
	if !slices.ContainsFunc(ops, func(o *op) bool { return o.path[depth][0] == '$' }) {
		for len(ops) > 0 { // sorted, so those with the same component are neighbours
			comp, i := ops[0].path[depth], 1
			for i < len(ops) && ops[i].path[depth] == comp {
				i++
			}
			if err := r.step(n, comp, ops[:i], depth); err != nil {
				return err
			}
			ops = ops[i:]
		}
		return nil
	}
	groups, err := r.resolve(n, ops, depth)
	if err != nil {
		return err
	}
	comps := make([]string, 0, len(groups))
	for c := range groups {
		comps = append(comps, c)
	}
	slices.SortFunc(comps, compareComponents)
	for _, c := range comps {
		if err := r.step(n, c, groups[c], depth); err != nil {
			return err
		}
	}
	return nil
}

// resolve replaces the positional components at depth by array positions.
func (r *run) resolve(n *node, ops []*op, depth int) (map[string][]*op, error) {
	groups := map[string][]*op{}
	for _, o := range ops {
		comp := o.path[depth]
		id, filtered := filterID(comp)
		switch {
		case comp == "$":
			if r.arrayIdx < 0 {
				return nil, noMatch()
			}
			comp = strconv.Itoa(r.arrayIdx)
			groups[comp] = append(groups[comp], o)
		case filtered:
			if !n.isArray() {
				return nil, mongoerr.New(mongoerr.BadValue, "Cannot apply array updates to non-array element %s", rawdoc.RenderElement(n.key, n.value()))
			}
			if err := r.resolveFilter(n, o, id, groups); err != nil {
				return nil, err
			}
		default:
			groups[comp] = append(groups[comp], o)
		}
	}
	return groups, nil
}

func (r *run) resolveFilter(n *node, o *op, id string, groups map[string][]*op) error {
	for i, k := range n.children() {
		if m := r.ops.filters[id]; m != nil {
			ok, err := m.Match(value.D(id, k.value()))
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
		}
		groups[strconv.Itoa(i)] = append(groups[strconv.Itoa(i)], o)
	}
	return nil
}

// step applies ops to the child comp of n, which may be missing.
func (r *run) step(n *node, comp string, ops []*op, depth int) error {
	k := n.child(comp)
	if i := slices.IndexFunc(ops, func(o *op) bool { return len(o.path) == depth+1 }); i >= 0 {
		if len(ops) > 1 {
			return conflict(ops[1].text, strings.Join(ops[i].path, "."))
		}
		return r.leaf(n, comp, k, ops[0])
	}
	switch {
	case k == nil:
		return r.create(n, comp, ops, depth)
	case k.isObject() || k.isArray():
		return r.walk(k, ops, depth+1)
	default:
		return r.blocked(k, ops, depth)
	}
}

// blocked meets a scalar where the paths of ops go on.
func (r *run) blocked(k *node, ops []*op, depth int) error {
	for _, o := range ops {
		next := o.path[depth+1]
		switch _, filtered := filterID(next); {
		case filtered:
			return mongoerr.New(mongoerr.BadValue, "Cannot apply array updates to non-array element %s", rawdoc.RenderElement(k.key, k.value()))
		case next == "$" && r.arrayIdx < 0:
			return noMatch()
		case o.creates:
			return notViable(next, k)
		case o.strict:
			return blockedAt(next, o.text, k)
		}
	}
	return nil
}

func noMatch() error {
	return mongoerr.New(mongoerr.BadValue, "The positional operator did not find the match needed from the query.")
}

// blockedAt is the error of a path that cannot go on below an element.
func blockedAt(comp, path string, at *node) error {
	return mongoerr.New(mongoerr.PathNotViable, "Cannot use the part (%s) of (%s) to traverse the element ({%s})", comp, path, rawdoc.RenderElement(at.key, at.value()))
}

func notViable(comp string, at *node) error {
	return mongoerr.New(mongoerr.PathNotViable, "Cannot create field '%s' in element {%s}", comp, rawdoc.RenderElement(at.key, at.value()))
}

// create makes the missing child comp of n for those of ops that create paths.
func (r *run) create(n *node, comp string, ops []*op, depth int) error {
	var creators []*op
	for _, o := range ops {
		if _, filtered := filterID(o.path[depth+1]); filtered {
			return mongoerr.New(mongoerr.BadValue, "The path '%s' must exist in the document in order to apply array updates.", strings.Join(o.path[:depth+1], "."))
		}
		if o.creates {
			creators = append(creators, o)
		}
	}
	if len(creators) == 0 {
		return nil
	}
	if err := room(n, comp); err != nil {
		return err
	}
	k := newObject(comp)
	if err := r.walk(k, creators, depth+1); err != nil {
		return err
	}
	if len(k.kids) == 0 {
		return nil
	}
	if err := r.mayStore(n, comp, creators[0]); err != nil {
		return err
	}
	n.attach(comp, k)
	return nil
}

// mayStore refuses to write a field whose name begins with a dollar to the top
// level of a document that exists; deeper down, and in an upsert, it may be.
func (r *run) mayStore(n *node, comp string, o *op) error {
	if n != r.root || r.insert || !strings.HasPrefix(comp, "$") {
		return nil
	}
	return mongoerr.New(mongoerr.DollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '%s' is not valid for storage.", comp, o.text)
}

// leaf lets an operator act at the end of its path.
func (r *run) leaf(n *node, comp string, k *node, o *op) error {
	if k == nil && !o.creates {
		if _, position := value.ArrayIndex(comp); n.isArray() && o.strict && !position {
			return blockedAt(comp, o.text, n)
		}
		return nil
	}
	t := target{key: comp, op: o, run: r}
	if k != nil {
		t.cur = k.value()
	} else if err := room(n, comp); err != nil {
		return err
	}
	out, err := o.leaf(t)
	if err != nil {
		return err
	}
	switch out.act {
	case put:
		if err := r.mayStore(n, comp, o); err != nil {
			return err
		}
		if k != nil {
			k.set(out.value)
			return nil
		}
		n.attach(comp, &node{key: comp, val: out.value})
	case drop:
		n.remove(k)
	case keep:
	}
	return nil
}

// room checks that n can get a child of that name.
func room(n *node, comp string) error {
	if n.isObject() {
		return nil
	}
	i, ok := value.ArrayIndex(comp)
	if !ok {
		return notViable(comp, n)
	}
	if i > len(n.children())+maxPadding {
		return mongoerr.New(mongoerr.CannotBackfillArray, "can't backfill more than %d elements", maxPadding)
	}
	return nil
}

// attach appends a child; an array is padded with nulls up to its position.
func (n *node) attach(comp string, k *node) {
	if n.isArray() {
		i, _ := value.ArrayIndex(comp)
		for len(n.children()) < i {
			n.kids = append(n.kids, &node{val: value.Null()})
		}
	}
	n.children()
	n.kids = append(n.kids, k)
}

// id shows the document's _id in messages.
func (r *run) id() string {
	id, ok := value.Get(r.pre, "_id")
	if !ok {
		return "{}"
	}
	return "{" + rawdoc.RenderElement("_id", id) + "}"
}
