package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// specLeaf is one path of a projection before it is known to include or
// exclude.
type specLeaf struct {
	path []string
	val  bson.RawValue
	// flag is set for numbers and booleans, which include or exclude.
	flag, on bool
}

// checkNested refuses nested objects that are neither one expression nor a set
// of fields. flags tells a projection from added fields.
func checkNested(spec bson.Raw, flags bool) error {
	n := rawdoc.Len(spec)
	for k := range value.Elements(spec) {
		switch {
		case n > 1 && strings.HasPrefix(k, "$") && flags:
			return mongoerr.New(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		case n > 1 && strings.HasPrefix(k, "$"):
			return mongoerr.New(40181, "an expression specification must contain exactly one field, the name of the expression. Found %d fields in %s", n, rawdoc.RenderDoc(spec))
		case strings.Contains(k, ".") && !flags:
			return mongoerr.New(40183, "cannot use dotted field name '%s' in a sub object", k)
		}
	}
	return nil
}

func specLeaves(prefix []string, spec bson.Raw, flags bool, out *[]specLeaf) error {
	for k, v := range value.Elements(spec) {
		parts := strings.Split(k, ".")
		if err := checkPath(parts); err != nil {
			return err
		}
		path := append(prefix[:len(prefix):len(prefix)], parts...)
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			first, _, some := rawdoc.First(v.Value)
			if err := checkNested(v.Value, flags); err != nil {
				return err
			}
			if some && !strings.HasPrefix(first, "$") {
				if err := specLeaves(path, v.Value, flags, out); err != nil {
					return err
				}
				continue
			}
			if !some && flags {
				return mongoerr.New(51270, "An empty sub-projection is not a valid value. Found empty object at path")
			}
		case bson.TypeBoolean, bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
			if flags {
				*out = append(*out, specLeaf{path, v, true, value.Truthy(v)})
				continue
			}
		default:
		}
		*out = append(*out, specLeaf{path: path, val: v})
	}
	return nil
}

// compileProject compiles the specification of $project.
func compileProject(spec bson.RawValue) (docStage, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(15969, "$project specification must be an object")
	}
	var leaves []specLeaf
	if err := specLeaves(nil, spec.Value, true, &leaves); err != nil {
		return nil, err
	}
	if len(leaves) == 0 {
		return nil, mongoerr.New(51272, "Invalid $project :: caused by :: projection specification must have at least one field")
	}
	kind := kindOf(leaves)
	t := &fieldTree{}
	seenID := false
	for _, l := range leaves {
		seenID = seenID || l.path[0] == "_id"
		leaf := &fieldTree{leaf: true}
		if l.flag {
			leaf.excluded = !l.on
			if l.on == (kind == excluding) {
				if len(l.path) == 1 && l.path[0] == "_id" {
					if l.on {
						continue // kept by an exclusion anyway
					}
				} else {
					return nil, mixed(kind, l)
				}
			}
		} else if kind == excluding && l.val.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(31310, "Invalid $project :: caused by :: Cannot use a literal for field %s in an exclusion projection", strings.Join(l.path, "."))
		} else if kind == excluding {
			return nil, mongoerr.New(31252, "Invalid $project :: caused by :: Cannot use an expression for field %s in an exclusion projection", strings.Join(l.path, "."))
		} else {
			fn, err := compile(l.val)
			if err != nil {
				return nil, err
			}
			leaf.computed = fn
		}
		if err := t.add(l.path, leaf); err != nil {
			return nil, err
		}
	}
	if kind == including && !seenID {
		if err := t.add([]string{"_id"}, &fieldTree{leaf: true}); err != nil {
			return nil, err
		}
	}
	return treeStage(t, kind), nil
}

// kindOf tells an inclusion from an exclusion by the first path that decides;
// _id decides only if nothing else does.
func kindOf(leaves []specLeaf) treeKind {
	for _, l := range leaves {
		if !l.flag {
			return including
		}
		if l.path[0] != "_id" {
			if l.on {
				return including
			}
			return excluding
		}
	}
	if leaves[0].on {
		return including
	}
	return excluding
}

func mixed(kind treeKind, l specLeaf) error {
	field := strings.Join(l.path, ".")
	if kind == including {
		return mongoerr.New(31254, "Invalid $project :: caused by :: Cannot do exclusion on field %s in inclusion projection", field)
	}
	return mongoerr.New(31253, "Invalid $project :: caused by :: Cannot do inclusion on field %s in exclusion projection", field)
}

// compileAddFields compiles $addFields and $set.
func compileAddFields(name string, spec bson.RawValue) (docStage, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(40272, "%s specification stage must be an object, got %s", name, rawdoc.TypeName(spec.Type))
	}
	var leaves []specLeaf
	if err := specLeaves(nil, spec.Value, false, &leaves); err != nil {
		return nil, err
	}
	t := &fieldTree{}
	for _, l := range leaves {
		fn, err := compile(l.val)
		if err != nil {
			return nil, err
		}
		if err := t.add(l.path, &fieldTree{leaf: true, computed: fn}); err != nil {
			return nil, mongoerr.New(40176, "Invalid %s :: caused by :: specification contains two conflicting paths. Cannot specify both '%s' and a path above or below it", name, strings.Join(l.path, "."))
		}
	}
	return treeStage(t, adding), nil
}

// compileUnset compiles $unset: a path or a list of them.
func compileUnset(spec bson.RawValue) (docStage, error) {
	paths := []bson.RawValue{spec}
	if spec.Type == bson.TypeArray {
		paths = rawdoc.Values(spec.Value)
		if len(paths) == 0 {
			return nil, mongoerr.New(31119, "$unset specification must be a string or an array with at least one field")
		}
	}
	if spec.Type != bson.TypeArray && spec.Type != bson.TypeString {
		return nil, mongoerr.New(31002, "$unset specification must be a string or an array")
	}
	for _, p := range paths {
		s, ok := p.StringValueOK()
		if !ok {
			return nil, mongoerr.New(31120, "$unset specification must be a string or an array containing only string values")
		}
		if strings.ContainsRune(s, 0) {
			return nil, mongoerr.New(9527900, "$unset field names may not contain an embedded null byte")
		}
	}
	t := &fieldTree{}
	for _, p := range paths {
		s := p.StringValue()
		parts := strings.Split(s, ".")
		if err := checkPath(parts); err != nil {
			return nil, err
		}
		if err := t.add(parts, &fieldTree{leaf: true, excluded: true}); err != nil {
			return nil, err
		}
	}
	return treeStage(t, excluding), nil
}

func treeStage(t *fieldTree, kind treeKind) docStage {
	return func(doc bson.Raw, vars Vars) (bson.Raw, error) {
		return t.compute(evalCtx{root: doc, vars: vars}, t.project(doc, kind))
	}
}
