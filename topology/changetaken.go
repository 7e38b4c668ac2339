package topology

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// taken says whose name on the destination a namespace would have.
func (c *Changer) taken(ns shardferry.Namespace) error {
	if c.Route.Ambiguous(ns.DB) {
		return fmt.Errorf("its name on the destination belongs to another database, by namespaceRemap: %w", ErrUnsupportedChange)
	}
	return fmt.Errorf("its name on the destination belongs to another collection, by collectionRemap: %w", ErrUnsupportedChange)
}

// place returns the name on the destination of a collection that gets a name on
// the source. One that is taken is an error, unless the collection has another name
// by now or is gone: then it is left out until that change comes.
func (c *Changer) place(ctx context.Context, coll shardferry.Collection, name shardferry.Namespace) (to shardferry.Namespace, selected bool, err error) {
	to, selected = c.Route.To(name)
	if !selected || !c.Route.Taken(name) {
		return to, selected, nil
	}
	now, err := listMatching(ctx, c.Source, name.DB, bson.D{{"info.uuid", coll.UUID}})
	switch {
	case err != nil:
		return to, false, fmt.Errorf("the source: %w", err)
	case len(now) > 0 && now[0].NS == name:
		return to, false, fmt.Errorf("%s becomes %s: %w", coll.Source, name, c.taken(name))
	}
	return to, false, nil
}

// checkView returns why a view cannot have its definition on the destination.
func (c *Changer) checkView(view shardferry.Namespace, options bson.Raw) error {
	if ns, ok := astray(c.Route, view.DB, options); ok {
		return fmt.Errorf("the view %s reads %s, which is another collection on the destination by collectionRemap: %w", view, ns, ErrUnsupportedChange)
	}
	return nil
}

// viewStands is checkView for a view whose definition changes. If it has another
// one by now, the change to that is on its way.
func (c *Changer) viewStands(ctx context.Context, change shardferry.SchemaChange) error {
	if c.checkView(change.NS, describe(change)) == nil {
		return nil
	}
	now, err := listed(ctx, c.Source, change.NS)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if len(now) == 0 {
		return nil
	}
	return c.checkView(change.NS, now[0].Options)
}
