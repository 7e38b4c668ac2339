package topology

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// errReplaced reports a collection that is not the one any more that was to be
// dropped or renamed: another node leads and has gone on. Looking again tells.
var errReplaced = fmt.Errorf("another collection has its name by now: %w", mongoconn.ErrPasses)

// current returns the UUID that a collection of the destination has now, and false
// if there is none. Whoever is held up after this and drops or renames it by its
// UUID does nothing to a collection that others have made meanwhile. Before it
// returns it makes sure that this process may change anything at all.
func (c *Changer) current(ctx context.Context, ns shardferry.Namespace) (bson.Binary, bool, error) {
	specs, err := c.Client.Database(ns.DB).ListCollectionSpecifications(ctx, bson.D{{"name", ns.Coll}, {"type", TypeCollection}})
	if err != nil {
		return bson.Binary{}, false, fmt.Errorf("look for %s: %w", ns, err)
	}
	if c.StillLeads != nil {
		if err := c.StillLeads(ctx); err != nil {
			return bson.Binary{}, false, err
		}
	}
	if len(specs) == 0 || specs[0].UUID == nil {
		return bson.Binary{}, false, nil
	}
	return *specs[0].UUID, true, nil
}

// dropCollection drops a collection of the destination, if it is there.
func (c *Changer) dropCollection(ctx context.Context, ns shardferry.Namespace) error {
	id, there, err := c.current(ctx, ns)
	if err != nil || !there {
		return err
	}
	err = c.Client.Database(ns.DB).RunCommand(ctx, bson.D{{"drop", ns.Coll}, {"collectionUUID", id}, majority}).Err()
	switch {
	case mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound):
		return nil
	case mongoconn.IsCode(err, mongoconn.CodeCollectionUUIDMismatch):
		return fmt.Errorf("drop %s: %w", ns, errReplaced)
	case err != nil:
		return fmt.Errorf("drop %s: %w", ns, err)
	}
	return nil
}
