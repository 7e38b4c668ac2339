package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// ApplyDiff applies a $v:2 diff document. A change inside a field that is
// missing or has another type is passed over, as it is when an oplog is
// applied to a newer document. A diff against the grammar is FailedToParse.
func ApplyDiff(pre, diff bson.Raw) (bson.Raw, error) {
	if isArrayDiff(diff) {
		return nil, badDiff("an array's diff at the top level")
	}
	return applyDoc(pre, diff)
}

func badDiff(what string) error {
	return mongoerr.New(mongoerr.FailedToParse, "malformed $v:2 diff: %s", what)
}

func isArrayDiff(diff bson.Raw) bool {
	k, v, ok := rawdoc.First(diff)
	return ok && k == "a" && v.Type == bson.TypeBoolean
}

// change is what a diff says about one field.
type change struct {
	section byte // d, u, i, s
	value   bson.RawValue
}

// readDocDiff indexes a document's diff; order holds the fields set by u and i.
func readDocDiff(diff bson.Raw) (changes map[string]change, order []field, err error) {
	changes = map[string]change{}
	for k, v := range value.Elements(diff) {
		if v.Type != bson.TypeEmbeddedDocument || k == "" {
			return nil, nil, badDiff(rawdoc.RenderElement(k, v))
		}
		switch k[0] {
		case 's':
			changes[k[1:]] = change{'s', v}
			continue
		case 'd', 'u', 'i':
			if len(k) > 1 {
				return nil, nil, badDiff("section " + k)
			}
		default:
			return nil, nil, badDiff("section " + k)
		}
		for name, x := range value.Elements(v.Value) {
			changes[name] = change{k[0], x}
			if k[0] != 'd' {
				order = append(order, field{name, x})
			}
		}
	}
	return changes, order, nil
}

func applyDoc(pre, diff bson.Raw) (bson.Raw, error) {
	changes, order, err := readDocDiff(diff)
	if err != nil {
		return nil, err
	}
	var b rawdoc.Builder
	placed := map[string]bool{}
	for k, v := range value.Elements(pre) {
		c, ok := changes[k]
		if !ok {
			b.Add(k, v)
			continue
		}
		switch c.section {
		case 'u':
			b.Add(k, c.value)
			placed[k] = true
		case 's':
			sub, err := applySub(v, c.value.Value)
			if err != nil {
				return nil, err
			}
			b.Add(k, sub)
		}
	}
	for _, f := range order {
		if !placed[f.key] {
			b.Add(f.key, f.val)
		}
	}
	return b.Bytes(), nil
}

// applySub changes a value if it is of the kind that the diff is about.
func applySub(v bson.RawValue, diff bson.Raw) (bson.RawValue, error) {
	want, apply := bson.TypeEmbeddedDocument, applyDoc
	if isArrayDiff(diff) {
		want, apply = bson.TypeArray, applyArray
	}
	if v.Type != want {
		return v, nil
	}
	out, err := apply(v.Value, diff)
	return bson.RawValue{Type: v.Type, Value: out}, err
}

func applyArray(pre, diff bson.Raw) (bson.Raw, error) {
	vals := rawdoc.Values(pre)
	for k, v := range value.Elements(diff) {
		switch {
		case k == "a":
		case k == "l":
			n, ok := number.Exact(v)
			if !ok || n < 0 || n > int64(len(vals))+maxPadding {
				return nil, badDiff(rawdoc.RenderElement(k, v))
			}
			vals = pad(vals, int(n))[:n]
		case len(k) > 1 && (k[0] == 'u' || k[0] == 's'):
			i, ok := value.ArrayIndex(k[1:])
			if !ok || i > len(vals)+maxPadding {
				return nil, badDiff("index " + k)
			}
			if k[0] == 'u' {
				vals = pad(vals, i+1)
				vals[i] = v
				continue
			}
			if i >= len(vals) {
				continue
			}
			sub, err := applySub(vals[i], v.Value)
			if err != nil {
				return nil, err
			}
			vals[i] = sub
		default:
			return nil, badDiff("section " + k)
		}
	}
	return value.ArrayOf(vals...).Value, nil
}

// pad appends nulls until there are at least n values.
func pad(vals []bson.RawValue, n int) []bson.RawValue {
	for len(vals) < n {
		vals = append(vals, value.Null())
	}
	return vals
}
