package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// identical reports whether two lists hold the same bytes in the same order.
func identical(a, b []bson.Raw) bool {
	return slices.EqualFunc(a, b, func(x, y bson.Raw) bool { return bytes.Equal(x, y) })
}

// unequal returns the _id values of documents that are not byte for byte on
// both sides, each once and in the order in which they were met.
func unequal(here, there []bson.Raw) []bson.RawValue {
	left := map[string]int{}
	for _, d := range there {
		left[string(d)]++
	}
	var suspects []bson.RawValue
	met := map[string]bool{}
	suspect := func(d bson.Raw) {
		id := d.Lookup("_id")
		if key := idKey(id); !met[key] {
			met[key] = true
			suspects = append(suspects, id)
		}
	}
	for _, d := range here {
		if left[string(d)] > 0 {
			left[string(d)]--
			continue
		}
		suspect(d)
	}
	for _, d := range there {
		if left[string(d)] > 0 {
			left[string(d)]--
			suspect(d)
		}
	}
	return suspects
}

func idKey(id bson.RawValue) string { return string(rune(id.Type)) + string(id.Value) }

// A sighting is how often in a row a document differed in the same way.
type sighting struct {
	digest [sha256.Size]byte
	times  int
}

func (s sighting) next(digest [sha256.Size]byte) sighting {
	if s.digest != digest {
		s = sighting{digest: digest}
	}
	s.times++
	return s
}

// digest stands for what both sides hold under an _id.
func digest(id bson.RawValue, here, there []bson.Raw) [sha256.Size]byte {
	var all []byte
	for _, docs := range [][]bson.Raw{withID(here, id), {{0}}, withID(there, id)} {
		for _, d := range docs {
			all = append(all, d...)
		}
	}
	return sha256.Sum256(all)
}

// recheckAtOnce is how many documents are read again with one command.
const recheckAtOnce = 500

// recheck reads suspects again until both sides agree on them or patience ends.
// A document that is being written is different on the two sides for a while; a
// document that was lost stays so. One that differs to the end, but not in the
// same way for the last half of the time, is still being written, and is no
// difference.
func (c *comparison) recheck(ctx context.Context, pair Pair, suspects []bson.RawValue) error {
	seen := map[string]sighting{}
	for attempt := range c.cfg.Rechecks {
		if attempt > 0 || !c.cfg.Still {
			if err := mongoconn.Sleep(ctx, c.cfg.Pause); err != nil {
				return err
			}
		}
		c.out.rechecked(len(suspects))
		last := attempt == c.cfg.Rechecks-1
		var still []bson.RawValue
		for ids := range slices.Chunk(suspects, recheckAtOnce) {
			here, err := c.byIDs(ctx, pair, ids, false)
			if err != nil {
				return err
			}
			there, err := c.byIDs(ctx, pair, ids, true)
			if err != nil {
				return err
			}
			left := unequal(here, there)
			still = append(still, left...)
			if last {
				lasting := slices.DeleteFunc(slices.Clone(left), func(id bson.RawValue) bool {
					return seen[idKey(id)].next(digest(id, here, there)).times <= c.cfg.Rechecks/2
				})
				c.out.changing(len(left) - len(lasting))
				c.describe(pair, lasting, here, there)
				continue
			}
			for _, id := range left {
				seen[idKey(id)] = seen[idKey(id)].next(digest(id, here, there))
			}
		}
		if suspects = still; len(suspects) == 0 {
			return nil
		}
	}
	return nil
}

func (c *comparison) byIDs(ctx context.Context, pair Pair, ids []bson.RawValue, destination bool) ([]bson.Raw, error) {
	client, ns, after := c.side(pair, destination)
	var docs []bson.Raw
	filter := pair.query(bson.D{{"_id", bson.D{{"$in", ids}}}}, destination)
	err := mongoconn.ReadAfter(ctx, client, ns, after, filter, options.Find().SetHint(byID), func(doc bson.Raw) error {
		docs = append(docs, doc)
		return nil
	})
	return docs, err
}

// describe records what is different about each of the given documents.
func (c *comparison) describe(pair Pair, ids []bson.RawValue, here, there []bson.Raw) {
	for _, id := range ids {
		a, b := withID(here, id), withID(there, id)
		d := Difference{NS: pair.Source, ID: id.String(), Kind: Bytes}
		switch {
		case len(b) == 0:
			d.Kind, d.Detail = Missing, short(a)
		case len(a) == 0:
			d.Kind, d.Detail = Surplus, short(b)
		default:
			if len(a) == len(b) && sameFields(a[0], b[0]) {
				d.Kind = FieldOrder
			}
			d.Detail = fmt.Sprintf("source %s, destination %s", short(a), short(b))
		}
		c.out.differ(d)
	}
}

func withID(docs []bson.Raw, id bson.RawValue) []bson.Raw {
	var out []bson.Raw
	for _, d := range docs {
		if v := d.Lookup("_id"); v.Type == id.Type && bytes.Equal(v.Value, id.Value) {
			out = append(out, d)
		}
	}
	return out
}

// sameFields reports whether two documents have the same fields at the top, in
// whatever order.
func sameFields(a, b bson.Raw) bool {
	x, err1 := a.Elements()
	y, err2 := b.Elements()
	if err1 != nil || err2 != nil {
		return false
	}
	order := func(e, f bson.RawElement) int { return cmp.Compare(e.Key(), f.Key()) }
	slices.SortStableFunc(x, order)
	slices.SortStableFunc(y, order)
	return slices.EqualFunc(x, y, func(e, f bson.RawElement) bool { return bytes.Equal(e, f) })
}

const shownBytes = 200 // of a document in a report

func short(docs []bson.Raw) string {
	s := docs[0].String()
	if len(s) > shownBytes {
		s = s[:shownBytes] + "…"
	}
	if len(docs) > 1 {
		s = fmt.Sprintf("%d documents, first %s", len(docs), s)
	}
	return s
}
