package checker

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Compare returns in words how the destination differs from the source, nothing
// if it does not.
func Compare(source, destination *Cluster) []string {
	var out []string
	differ := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, ns := range slices.Sorted(maps.Keys(source.Collections)) {
		if destination.Collections[ns] == nil {
			differ("%s is missing on the destination", ns)
			continue
		}
		a, b := source.Collections[ns], destination.Collections[ns]
		if a.Type != b.Type {
			differ("%s is a %s on the source, a %s on the destination", ns, a.Type, b.Type)
			continue
		}
		if a.Options != b.Options {
			differ("%s has the options %s on the source, %s on the destination", ns, a.Options, b.Options)
		}
		if source.Sharded && destination.Sharded && a.ShardKey != b.ShardKey {
			differ("%s has the shard key %q on the source, %q on the destination", ns, a.ShardKey, b.ShardKey)
		}
		for _, d := range indexes(a, b) {
			differ("%s %s", ns, d)
		}
		for _, d := range documents(a, b) {
			differ("%s %s", ns, d)
		}
	}
	out = append(out, differentAccounts(source.Accounts, destination.Accounts)...)
	for _, ns := range slices.Sorted(maps.Keys(destination.Collections)) {
		if source.Collections[ns] == nil {
			differ("%s is only on the destination", ns)
		}
	}
	return out
}

func indexes(a, b *Collection) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a.Indexes)) {
		switch there, ok := b.Indexes[name]; {
		case !ok:
			out = append(out, fmt.Sprintf("lacks the index %s on the destination", a.Indexes[name]))
		case there != a.Indexes[name]:
			out = append(out, fmt.Sprintf("has the index %s on the source, %s on the destination", a.Indexes[name], there))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Indexes)) {
		if _, ok := a.Indexes[name]; !ok {
			out = append(out, fmt.Sprintf("has the index %s only on the destination", b.Indexes[name]))
		}
	}
	return out
}

// documents compares as many documents of an _id as there are: on different
// shards several may have the same. The order counts in capped collections only.
func documents(a, b *Collection) []string {
	var out []string
	for _, side := range []*Collection{a, b} {
		if side.Counted != int64(len(side.Docs)) {
			out = append(out, fmt.Sprintf("has %d documents, and counts %d", len(side.Docs), side.Counted))
		}
	}
	if a.Capped && a.ShardKey == "" {
		return append(out, inOrder(a.Docs, b.Docs)...)
	}
	left := map[string][]bson.Raw{}
	for _, d := range b.Docs {
		id := idOf(d)
		left[id] = append(left[id], d)
	}
	for _, d := range a.Docs {
		id := idOf(d)
		at := slices.IndexFunc(left[id], func(o bson.Raw) bool { return bytes.Equal(o, d) })
		switch {
		case at >= 0:
			left[id] = slices.Delete(left[id], at, at+1)
		case len(left[id]) > 0:
			out = append(out, fmt.Sprintf("has %s on the source, %s on the destination", show(d), show(left[id][0])))
			left[id] = left[id][1:]
		default:
			out = append(out, fmt.Sprintf("lacks %s on the destination", show(d)))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		for _, d := range left[id] {
			out = append(out, fmt.Sprintf("has %s only on the destination", show(d)))
		}
	}
	return out
}

func inOrder(a, b []bson.Raw) []string {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return []string{fmt.Sprintf("has %s at place %d only on the destination", show(b[i]), i)}
		case i >= len(b):
			return []string{fmt.Sprintf("lacks %s at place %d on the destination", show(a[i]), i)}
		case !bytes.Equal(a[i], b[i]):
			return []string{fmt.Sprintf("has at place %d %s on the source, %s on the destination", i, show(a[i]), show(b[i]))}
		}
	}
	return nil
}

// idOf tells values of _id apart by type and bytes.
func idOf(d bson.Raw) string {
	v, err := d.LookupErr("_id")
	if err != nil {
		return "none"
	}
	return string(rune(v.Type)) + string(v.Value)
}

// show renders a document, the large ones in part.
func show(d bson.Raw) string {
	const most = 600
	if len(d) > 1<<16 {
		return fmt.Sprintf("a document of %d bytes with the _id %v", len(d), d.Lookup("_id"))
	}
	text := d.String()
	if len(text) > most {
		text = text[:most] + "..."
	}
	return fmt.Sprintf("%s (%x)", text, []byte(d[:min(len(d), 160)]))
}
