package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// compileRename makes o the move of a value from the field path to the one
// that arg names. It runs where the destination stands in the order of paths.
func compileRename(o *op, path string, arg bson.RawValue) error {
	to, ok := arg.StringValueOK()
	if !ok {
		return mongoerr.New(mongoerr.BadValue, "The 'to' field for $rename must be a string: %s", rawdoc.RenderElement(path, arg))
	}
	if strings.ContainsRune(to, 0) {
		return mongoerr.New(codeNullByte, "The 'to' field for $rename cannot contain an embedded null byte")
	}
	src, err := parsePath(path)
	if err != nil {
		return err
	}
	if o.path, err = parsePath(to); err != nil {
		return err
	}
	o.text = to
	switch {
	case path == to:
		return mongoerr.New(mongoerr.BadValue, "The source and target field for $rename must differ: %s", rawdoc.RenderElement(path, arg))
	case strings.HasPrefix(path, to+".") || strings.HasPrefix(to, path+"."):
		return mongoerr.New(mongoerr.BadValue, "The source and target field for $rename must not be on the same path: %s", rawdoc.RenderElement(path, arg))
	case dynamic(src):
		return mongoerr.New(mongoerr.BadValue, "The source field for $rename may not be dynamic: %s", path)
	case dynamic(o.path):
		return mongoerr.New(mongoerr.BadValue, "The destination field for $rename may not be dynamic: %s", to)
	}
	o.leaf = func(t target) (outcome, error) { return t.rename(src) }
	o.source = src
	return nil
}

// takeRename takes both ends of a $rename.
func takeRename(o *op, path string, taken *trie) error {
	if err := taken.add(path, o.source); err != nil {
		return err
	}
	return taken.add(o.text, o.path)
}

const codeNullByte mongoerr.Code = 9867600

func dynamic(path []string) bool {
	for _, p := range path {
		if p == "$" || strings.HasPrefix(p, "$[") {
			return true
		}
	}
	return false
}

// rename takes the source out of the document and returns it as the new value.
func (t target) rename(src []string) (outcome, error) {
	parent, k := t.run.find(src)
	if k == nil {
		return outcome{}, nil
	}
	v := k.value()
	parent.remove(k)
	return putValue(v)
}

// find walks plain field names; nil if the path does not exist.
func (r *run) find(path []string) (parent, k *node) {
	k = r.root
	for _, p := range path {
		parent = k
		if !parent.isObject() {
			return parent, nil
		}
		if k = parent.child(p); k == nil {
			return parent, nil
		}
	}
	return parent, k
}

// renames drops the renames whose source is missing and refuses those that
// lead through an array.
func (r *run) renames(ops []*op) ([]*op, error) {
	out := make([]*op, 0, len(ops))
	for _, o := range ops {
		if o.source == nil {
			out = append(out, o)
			continue
		}
		if err := r.throughArray(o.source, "source"); err != nil {
			return nil, err
		}
		if _, k := r.find(o.source); k == nil {
			continue
		}
		if o.path[0] == "_id" {
			return nil, mongoerr.New(mongoerr.ImmutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
		}
		if err := r.throughArray(o.path, "destination"); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (r *run) throughArray(path []string, end string) error {
	at := r.root
	for _, p := range path {
		if at.isArray() {
			return mongoerr.New(mongoerr.BadValue, "The %s field cannot be an array element, '%s' in doc with %s has an array field called '%s'", end, strings.Join(path, "."), strings.Trim(r.id(), "{}"), at.key)
		}
		if end == "source" && !at.isObject() {
			return blockedAt(p, strings.Join(path, "."), at)
		}
		if at = at.child(p); at == nil {
			return nil
		}
	}
	return nil
}
