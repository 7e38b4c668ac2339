package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// DescribeDiff renders a $v:2 diff as a change event's updateDescription:
// {updatedFields, removedFields, truncatedArrays[, disambiguatedPaths]}. A
// path is disambiguated if it has a numeric field name behind the first
// component or a field name with a dot (server-facts 1.4).
func DescribeDiff(diff bson.Raw, disambiguated bool) bson.Raw {
	var d description
	d.doc(diff, nil)
	var b rawdoc.Builder
	b.AddDoc("updatedFields", d.updated.Bytes())
	b.AddArray("removedFields", d.removed.Bytes())
	b.AddArray("truncatedArrays", d.truncated.Bytes())
	if disambiguated {
		b.AddDoc("disambiguatedPaths", d.paths.Bytes())
	}
	return b.Bytes()
}

type description struct {
	updated, removed, truncated, paths rawdoc.Builder
}

// component is a part of a path: a field name or an array position.
type component struct {
	name  string
	index bool
}

func (d *description) doc(diff bson.Raw, at []component) {
	for k, v := range value.Elements(diff) {
		if v.Type != bson.TypeEmbeddedDocument {
			continue // against the grammar, as a diff that a client has logged may be
		}
		switch {
		case k == "d":
			for name := range value.Elements(v.Value) {
				d.removed.Push(value.String(d.path(at, component{name: name})))
			}
		case k == "u" || k == "i":
			for name, x := range value.Elements(v.Value) {
				d.updated.Add(d.path(at, component{name: name}), x)
			}
		case strings.HasPrefix(k, "s"):
			d.sub(v.Value, under(at, component{name: k[1:]}))
		}
	}
}

func (d *description) sub(diff bson.Raw, at []component) {
	if !isArrayDiff(diff) {
		d.doc(diff, at)
		return
	}
	for k, v := range value.Elements(diff) {
		switch {
		case k == "a":
		case k == "l":
			last := len(at) - 1
			d.truncated.Push(value.Doc(value.D("field", d.path(at[:last], at[last]), "newSize", v)))
		case strings.HasPrefix(k, "u"):
			d.updated.Add(d.path(at, component{k[1:], true}), v)
		case strings.HasPrefix(k, "s") && v.Type == bson.TypeEmbeddedDocument:
			d.sub(v.Value, under(at, component{k[1:], true}))
		}
	}
}

func under(at []component, c component) []component {
	return append(at[:len(at):len(at)], c)
}

// path joins the components and notes the path if it is ambiguous.
func (d *description) path(at []component, last component) string {
	all := under(at, last)
	names := make([]string, len(all))
	ambiguous := false
	for i, c := range all {
		names[i] = c.name
		if !c.index && (strings.Contains(c.name, ".") || i > 0 && rawdoc.IsIndex(c.name)) {
			ambiguous = true
		}
	}
	text := strings.Join(names, ".")
	if ambiguous {
		var b rawdoc.Builder
		for _, c := range all {
			if i, ok := value.ArrayIndex(c.name); ok && c.index {
				b.Push(value.Int32(int32(i)))
			} else {
				b.Push(value.String(c.name))
			}
		}
		d.paths.AddArray(text, b.Bytes())
	}
	return text
}
