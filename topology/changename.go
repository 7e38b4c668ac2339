package topology

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// rename follows a collection to another name. One that leaves the selection is
// dropped, and one that enters it is created and has to be copied.
func (c *Changer) rename(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	if err := c.renamable(change); err != nil {
		return Outcome{}, err
	}
	coll, ok := c.met(change.UUID)
	if !ok || coll.Dropped || coll.Source == change.To {
		return Outcome{}, nil
	}
	to, selected, err := c.place(ctx, coll, change.To)
	switch {
	case err != nil:
		return Outcome{}, err
	case coll.Excluded && selected:
		return c.enter(ctx, coll, change.To, to)
	case coll.Excluded:
		out := c.replaced(change.To, shardferry.Namespace{})
		coll.Source = change.To
		out.Collections = append(out.Collections, coll)
		return out, nil
	case !selected:
		return c.leave(ctx, coll, change.To)
	}
	out := c.replaced(change.To, to)
	out.From, out.To = coll.Destination, to
	if err := c.renameCollection(ctx, coll.Destination, to, len(out.Dropped) > 0); err != nil {
		return Outcome{}, fmt.Errorf("rename %s to %s: %w", coll.Destination, to, err)
	}
	coll.Source, coll.Destination = change.To, to
	out.Collections = append(out.Collections, coll)
	return out, nil
}

// renameCollection renames a collection of the destination, unless an earlier attempt
// has done so.
func (c *Changer) renameCollection(ctx context.Context, from, to shardferry.Namespace, over bool) error {
	id, there, err := c.current(ctx, from)
	if err != nil {
		return err
	}
	cmd := bson.D{{"renameCollection", from.String()}, {"to", to.String()}, {"dropTarget", over}, majority}
	if there {
		cmd = append(cmd, bson.E{Key: "collectionUUID", Value: id})
	}
	err = c.Client.Database("admin").RunCommand(ctx, cmd).Err()
	switch {
	case mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound):
		return c.renamedBefore(ctx, to, err)
	case mongoconn.IsCode(err, mongoconn.CodeCollectionUUIDMismatch):
		return errReplaced
	}
	return err
}

// replaced returns what becomes of a collection whose name another one takes.
func (c *Changer) replaced(source, destination shardferry.Namespace) Outcome {
	var out Outcome
	for _, other := range c.Collections {
		switch {
		case other.Dropped:
		case other.Excluded && other.Source == source:
			other.Dropped = true
			out.Collections = append(out.Collections, other)
		case !other.Excluded && other.Destination == destination:
			other.Dropped = true
			out.Collections = append(out.Collections, other)
			out.Dropped = append(out.Dropped, IndexRef{NS: destination})
		}
	}
	return out
}

// leave takes a collection out of the sync whose new name is not selected.
func (c *Changer) leave(ctx context.Context, coll shardferry.Collection, to shardferry.Namespace) (Outcome, error) {
	if err := c.dropCollection(ctx, coll.Destination); err != nil {
		return Outcome{}, err
	}
	out := c.replaced(to, shardferry.Namespace{})
	out.Dropped = []IndexRef{{NS: coll.Destination}}
	coll.Source, coll.Destination, coll.Excluded = to, shardferry.Namespace{}, true
	out.Collections = append(out.Collections, coll)
	return out, nil
}

// excluded returns what becomes of a new collection that is not selected.
func (c *Changer) excluded(change shardferry.SchemaChange) Outcome {
	if _, ok := c.met(change.UUID); ok || change.UUID.IsZero() {
		return Outcome{}
	}
	return Outcome{Collections: []shardferry.Collection{{UUID: change.UUID, Source: change.NS, Excluded: true}}}
}

// renamedBefore returns nil if the new name exists: then an earlier attempt
// renamed the collection, and only its record was lost.
func (c *Changer) renamedBefore(ctx context.Context, to shardferry.Namespace, missing error) error {
	names, err := c.Client.Database(to.DB).ListCollectionNames(ctx, bson.D{{"name", to.Coll}})
	if err != nil {
		return errors.Join(missing, err)
	}
	if len(names) == 0 {
		return missing
	}
	return nil
}
