package topology

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// enter takes a collection into the sync that got a name which is selected. It is
// created as the source has it now: nothing of it was followed until then, and its
// documents are going to be read later still. What the source's streams tell of
// the time between changes nothing any more.
func (c *Changer) enter(ctx context.Context, coll shardferry.Collection, source, destination shardferry.Namespace) (Outcome, error) {
	out := c.replaced(source, destination)
	// An attempt that was interrupted may have made it otherwise.
	if err := dropCollection(ctx, c.Client, destination); err != nil {
		return Outcome{}, err
	}
	src, err := Discover(ctx, c.Source)
	if err != nil {
		return Outcome{}, fmt.Errorf("read the source: %w", err)
	}
	at := slices.IndexFunc(src.Collections, func(is Collection) bool { return is.UUID == coll.UUID })
	if at < 0 {
		coll.Source, coll.Dropped = source, true
		out.Collections = append(out.Collections, coll)
		return out, nil
	}
	is := &src.Collections[at]
	if problems := is.problems(); len(problems) > 0 {
		return Outcome{}, fmt.Errorf("%s becomes %s: %s: %w", coll.Source, source, problems[0], ErrUnsupportedChange)
	}
	if err := c.take(ctx, is, source, destination, &out); err != nil {
		return Outcome{}, err
	}
	src.Collections = src.Collections[at : at+1]
	out.Copy = src
	return out, nil
}

// take makes the collection is on the destination, by the changes that would have
// made it there had it been selected from the start.
func (c *Changer) take(ctx context.Context, is *Collection, source, destination shardferry.Namespace, out *Outcome) error {
	fresh := *c
	fresh.Collections = slices.Clone(out.Collections)
	fresh.Indexes, fresh.Limits = nil, nil
	add := func(change shardferry.SchemaChange) error {
		made, err := fresh.Apply(ctx, change)
		if err != nil {
			return err
		}
		fresh.Collections = merge(fresh.Collections, made.Collections, func(a, b shardferry.Collection) bool { return a.UUID == b.UUID })
		fresh.Indexes = merge(fresh.Indexes, made.Indexes, func(a, b Index) bool { return IndexName(a.Spec) == IndexName(b.Spec) })
		fresh.Limits = merge(fresh.Limits, made.Limits, func(Limit, Limit) bool { return true })
		return nil
	}
	err := add(shardferry.SchemaChange{
		Kind: "create", UUID: is.UUID, NS: source, Event: mustMarshal(bson.D{{"operationDescription", CreateOptions(is.Options)}}),
	})
	if err != nil {
		return err
	}
	dst, err := Discover(ctx, c.Client)
	if err != nil {
		return fmt.Errorf("read the destination: %w", err)
	}
	made, ok := fresh.known(is.UUID)
	if !ok {
		return fmt.Errorf("%s was not created", destination)
	}
	changes, err := fresh.missedIn(made, is, dst)
	if err != nil {
		return err
	}
	for _, change := range changes {
		if err := add(change); err != nil {
			return err
		}
	}
	out.Collections = merge(out.Collections, fresh.Collections, func(a, b shardferry.Collection) bool { return a.UUID == b.UUID })
	out.Indexes, out.Limits = fresh.Indexes, fresh.Limits
	return nil
}

// merge puts the elements of news into the list, in the place of those that are
// the same.
func merge[T any](list, news []T, same func(a, b T) bool) []T {
	for _, n := range news {
		list = append(slices.DeleteFunc(list, func(have T) bool { return same(have, n) }), n)
	}
	return list
}
