package update

import (
	"bytes"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// diffOverhead is what an oplog entry spends around a diff: {$v: 2, diff: …}.
const diffOverhead = 15

// Diff returns the $v:2 diff that leads from pre to post. It is not ok when
// the post image would be smaller in the oplog or when no diff can reproduce
// the order of its fields; then the whole document is to be logged.
func Diff(pre, post bson.Raw) (bson.Raw, bool) {
	d, ok := DiffAnySize(pre, post)
	if !ok || len(d)+diffOverhead >= len(post) {
		return nil, false
	}
	return d, true
}

// DiffAnySize is Diff without the comparison with the whole document.
func DiffAnySize(pre, post bson.Raw) (bson.Raw, bool) {
	return checked(pre, post, diffDocs(pre, post, smallest{}))
}

// diffAlong is the diff of an operator update, which is made however small the
// document is. It goes into documents and arrays as far as the paths of the
// operators do: {$set: {"a.b": 1}} changes b inside of a, {$set: {a: {b: 1}}}
// sets a.
func diffAlong(pre, post bson.Raw, paths *trie) (bson.Raw, bool) {
	return checked(pre, post, diffDocs(pre, post, along(paths)))
}

// checked returns d if it leads from pre to post. Duplicate field names and odd
// array keys have no diff; applying it is the one check that misses nothing.
func checked(pre, post, d bson.Raw) (bson.Raw, bool) {
	got, err := ApplyDiff(pre, d)
	if err != nil || !bytes.Equal(got, post) {
		return nil, false
	}
	return d, true
}

// A depth decides how far a diff goes into a value that has changed: whole
// asks whether to log the new value rather than diff, and inner is the depth
// inside of a field or an array position.
type depth interface {
	whole(pre, post bson.RawValue, diff bson.Raw) bool
	inner(key string) depth
}

// smallest takes whichever is smaller.
type smallest struct{}

func (smallest) whole(_, post bson.RawValue, diff bson.Raw) bool { return len(diff) >= len(post.Value) }
func (s smallest) inner(string) depth                            { return s }

// alongPaths goes in where the paths of operators do.
type alongPaths struct{ tries []*trie }

func along(t *trie) depth { return alongPaths{[]*trie{t}} }

func (a alongPaths) whole(pre, post bson.RawValue, _ bson.Raw) bool {
	for _, t := range a.tries {
		if !t.leaf {
			return false
		}
	}
	return !isAppended(pre, post)
}

// isAppended reports whether post is the array pre with more behind it, which
// is logged as the new elements alone.
func isAppended(pre, post bson.RawValue) bool {
	return pre.Type == bson.TypeArray && len(pre.Value) < len(post.Value) &&
		bytes.HasPrefix(post.Value[4:], pre.Value[4:len(pre.Value)-1])
}

func (a alongPaths) inner(key string) depth {
	var next []*trie
	for _, t := range a.tries {
		for comp, kid := range t.kids {
			if _, filtered := filterID(comp); comp == key || comp == "$" || filtered {
				next = append(next, kid)
			}
		}
	}
	return alongPaths{next}
}

// docDiff collects the sections of a document's diff.
type docDiff struct {
	deletes, updates, inserts rawdoc.Builder
	subs                      rawdoc.Builder
}

// diffDocs walks both documents side by side. A field of pre that is not next
// in post counts as deleted; what is left of post then is inserted behind, so
// that a moved field is a delete and an insert, told by the insert alone.
func diffDocs(pre, post bson.Raw, in depth) bson.Raw {
	before, after := fields(pre), fields(post)
	var d docDiff
	var gone []string
	for len(before) > 0 && len(after) > 0 {
		a, b := before[0], after[0]
		before = before[1:]
		if a.key != b.key {
			gone = append(gone, a.key)
			continue
		}
		after = after[1:]
		if identical(a.val, b.val) {
			continue
		}
		if sub, ok := subDiff(a.val, b.val, in.inner(a.key)); ok {
			d.subs.AddDoc("s"+a.key, sub)
		} else {
			d.updates.Add(a.key, b.val)
		}
	}
	for _, f := range before {
		gone = append(gone, f.key)
	}
	inserted := make(map[string]bool, len(after))
	for _, f := range after {
		inserted[f.key] = true
		d.inserts.Add(f.key, f.val)
	}
	for _, k := range gone {
		if !inserted[k] {
			d.deletes.Add(k, value.Bool(false))
		}
	}
	return d.bytes()
}

func (d *docDiff) bytes() bson.Raw {
	var b rawdoc.Builder
	if d.deletes.Len() > 0 {
		b.AddDoc("d", d.deletes.Bytes())
	}
	if d.updates.Len() > 0 {
		b.AddDoc("u", d.updates.Bytes())
	}
	if d.inserts.Len() > 0 {
		b.AddDoc("i", d.inserts.Bytes())
	}
	for k, v := range value.Elements(d.subs.Bytes()) {
		b.Add(k, v)
	}
	return b.Bytes()
}

// subDiff returns the diff of two documents or two arrays unless the new value
// is to be logged as a whole.
func subDiff(pre, post bson.RawValue, in depth) (bson.Raw, bool) {
	if pre.Type != post.Type {
		return nil, false
	}
	var d bson.Raw
	switch pre.Type {
	case bson.TypeEmbeddedDocument:
		d = diffDocs(pre.Value, post.Value, in)
	case bson.TypeArray:
		d = diffArrays(pre.Value, post.Value, in)
	default:
		return nil, false
	}
	return d, !in.whole(pre, post, d)
}

func diffArrays(pre, post bson.Raw, in depth) bson.Raw {
	before, after := rawdoc.Values(pre), rawdoc.Values(post)
	var b rawdoc.Builder
	b.Add("a", value.Bool(true))
	if len(after) < len(before) {
		b.Add("l", value.Int32(int32(len(after))))
	}
	for i, v := range after {
		name := value.IndexName(i)
		if i >= len(before) {
			b.Add("u"+name, v)
			continue
		}
		if identical(before[i], v) {
			continue
		}
		if sub, ok := subDiff(before[i], v, in.inner(name)); ok {
			b.AddDoc("s"+name, sub)
		} else {
			b.Add("u"+name, v)
		}
	}
	return b.Bytes()
}

type field struct {
	key string
	val bson.RawValue
}

func fields(doc bson.Raw) []field {
	var out []field
	for k, v := range value.Elements(doc) {
		out = append(out, field{k, v})
	}
	return out
}

func identical(a, b bson.RawValue) bool { return a.Type == b.Type && bytes.Equal(a.Value, b.Value) }
