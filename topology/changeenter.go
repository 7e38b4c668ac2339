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
// documents are going to be read later still. If the source has it no more it stays
// outside, where later changes tell what became of it.
func (c *Changer) enter(ctx context.Context, coll shardferry.Collection, source, destination shardferry.Namespace) (Outcome, error) {
	src, at, err := discoverOne(ctx, c.Source, source.DB, coll.UUID)
	if err != nil {
		return Outcome{}, fmt.Errorf("read %s on the source: %w", source, err)
	}
	for i := range src.Collections {
		if problems := src.Collections[i].problems(); len(problems) > 0 {
			return Outcome{}, fmt.Errorf("%s becomes %s: %s: %w", coll.Source, source, problems[0], ErrUnsupportedChange)
		}
	}
	out := c.replaced(source, destination)
	// An attempt that was interrupted may have made it otherwise.
	if err := c.dropCollection(ctx, destination); err != nil {
		return Outcome{}, err
	}
	if len(src.Collections) == 0 {
		coll.Source = source
		out.Collections = append(out.Collections, coll)
		return out, nil
	}
	made, err := c.take(ctx, &src.Collections[0], source, destination, &out)
	if err != nil {
		return Outcome{}, err
	}
	made.Entered = at
	out.Collections = append(out.Collections, made)
	out.Copy = src
	return out, nil
}

// take makes the collection is on the destination, by the changes that would have
// made it there had it been selected from the start.
func (c *Changer) take(ctx context.Context, is *Collection, source, destination shardferry.Namespace, out *Outcome) (shardferry.Collection, error) {
	fresh := *c
	fresh.Collections, fresh.Indexes, fresh.Limits = nil, nil, nil
	add := func(change shardferry.SchemaChange) error {
		made, err := fresh.Apply(ctx, change)
		if err != nil {
			return err
		}
		if len(made.Collections) > 0 {
			fresh.Collections = made.Collections
		}
		// If one comes more than once, the last one counts.
		fresh.Indexes = append(fresh.Indexes, made.Indexes...)
		fresh.Limits = append(fresh.Limits, made.Limits...)
		return nil
	}
	err := add(shardferry.SchemaChange{
		Kind: "create", UUID: is.UUID, NS: source, Event: mustMarshal(bson.D{{"operationDescription", CreateOptions(is.Options)}}),
	})
	if err != nil {
		return shardferry.Collection{}, err
	}
	there, err := listed(ctx, c.Client, destination)
	if err != nil {
		return shardferry.Collection{}, err
	}
	made, ok := fresh.known(is.UUID)
	if !ok {
		return shardferry.Collection{}, fmt.Errorf("%s was not created", destination)
	}
	changes, err := fresh.missedIn(made, is, &Cluster{Collections: there})
	if err != nil {
		return shardferry.Collection{}, err
	}
	for _, change := range changes {
		if err := add(change); err != nil {
			return shardferry.Collection{}, err
		}
	}
	out.Indexes, out.Limits = fresh.Indexes, fresh.Limits
	made, _ = fresh.known(is.UUID)
	return made, nil
}

// reshardExcluded follows a collection to another UUID that is not part of the
// sync: if its name is selected, because it had another UUID already when it was
// looked for, it enters now.
func (c *Changer) reshardExcluded(ctx context.Context, coll shardferry.Collection, id shardferry.UUID) (Outcome, error) {
	next := coll
	next.UUID = id
	to, selected, err := c.place(ctx, next, coll.Source)
	if err != nil {
		return Outcome{}, err
	}
	colls, replaced := c.succeed(coll, id)
	if !selected {
		return Outcome{Collections: colls, Replaced: replaced}, nil
	}
	c.Collections = slices.DeleteFunc(c.Collections, func(have shardferry.Collection) bool { return have.UUID == id })
	out, err := c.enter(ctx, next, coll.Source, to)
	out.Collections = append(slices.DeleteFunc(colls, func(have shardferry.Collection) bool { return have.UUID == id }), out.Collections...)
	out.Replaced = replaced
	return out, err
}
