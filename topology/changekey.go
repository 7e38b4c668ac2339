package topology

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// Adopt is the kind of a change that no event tells of: documents come under a
// UUID that nothing has announced. movePrimary gives the unsharded collections of
// a database new ones.
const Adopt = "adopt"

// Replaced says that a collection of the source has another UUID now, or another
// shard key.
type Replaced struct{ From, To shardferry.UUID }

// adopt takes note of a collection that has another UUID than it had. It returns
// nothing if that of the change is known.
func (c *Changer) adopt(change shardferry.SchemaChange) ([]shardferry.Collection, Replaced) {
	if _, ok := c.met(change.UUID); ok || change.UUID.IsZero() {
		return nil, Replaced{}
	}
	for _, coll := range c.Collections {
		if coll.Source == change.NS && !coll.Dropped {
			return c.succeed(coll, change.UUID)
		}
	}
	return nil, Replaced{}
}

// succeed gives a collection another UUID, in the changer's catalogue too.
func (c *Changer) succeed(coll shardferry.Collection, id shardferry.UUID) ([]shardferry.Collection, Replaced) {
	next := coll
	next.UUID = id
	coll.Dropped = true
	known := []shardferry.Collection{next}
	for _, other := range c.Collections {
		if other.UUID != coll.UUID {
			known = append(known, other)
		}
	}
	c.Collections = append(known, coll)
	return []shardferry.Collection{coll, next}, Replaced{From: coll.UUID, To: id}
}

// reshard follows a collection that was resharded, unsharded or moved: on the
// source it has a new UUID, and its documents are the same. Unless it was only
// moved, the destination's is resharded too, if it is sharded.
func (c *Changer) reshard(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	details := describe(change)
	id, ok := shardferry.ParseUUID(details.Lookup("reshardUUID"))
	if !ok {
		return Outcome{}, fmt.Errorf("reshardCollection of %s carries no reshardUUID: %w", change.NS, ErrUnsupportedChange)
	}
	coll, known := c.met(change.UUID)
	if _, again := c.met(id); again || !known || coll.Dropped {
		return Outcome{}, nil
	}
	if coll.Excluded {
		return c.reshardExcluded(ctx, coll, id)
	}
	key, _ := details.Lookup("shardKey").DocumentOK()
	why, _ := details.Lookup("provenance").StringValueOK()
	var indexes []Index
	var err error
	if (why == "" || why == "reshardCollection") && !isIDKey(key) {
		// The source has made this index by itself, where there was none.
		if indexes, err = c.shardKeyIndex(ctx, coll, key, false); err != nil {
			return Outcome{}, err
		}
	}
	if c.Sharded {
		switch {
		case why == "moveCollection":
		case why == "unshardCollection" && len(coll.ShardKey) > 0:
			err = c.onCollection(ctx, bson.D{{"unshardCollection", coll.Destination.String()}})
			coll.ShardKey = nil
		case why != "unshardCollection" && string(key) != string(coll.ShardKey):
			cmd := bson.D{{"reshardCollection", coll.Destination.String()}, {"key", key}}
			if coll.Collated {
				cmd = append(cmd, bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}})
			}
			err = c.onCollection(ctx, cmd)
			coll.ShardKey = key
		}
		if err != nil {
			return Outcome{}, err
		}
	}
	colls, replaced := c.succeed(coll, id)
	return Outcome{Collections: colls, Indexes: indexes, Replaced: replaced}, nil
}

// refine adds fields to a shard key.
func (c *Changer) refine(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	coll, ok := c.known(change.UUID)
	key, hasKey := describe(change).Lookup("shardKey").DocumentOK()
	switch {
	case !ok || !c.Sharded || len(coll.ShardKey) == 0 || string(coll.ShardKey) == string(key):
		return Outcome{}, nil
	case !hasKey:
		return Outcome{}, fmt.Errorf("refineCollectionShardKey of %s carries no shardKey: %w", change.NS, ErrUnsupportedChange)
	}
	indexes, err := c.shardKeyIndex(ctx, coll, key, false)
	if err != nil {
		return Outcome{}, err
	}
	if err := c.onCollection(ctx, bson.D{{"refineCollectionShardKey", coll.Destination.String()}, {"key", key}}); err != nil {
		return Outcome{}, err
	}
	coll.ShardKey = key
	return Outcome{Collections: []shardferry.Collection{coll}, Indexes: indexes, Replaced: Replaced{From: coll.UUID, To: coll.UUID}}, nil
}

func (c *Changer) onCollection(ctx context.Context, cmd bson.D) error {
	err := c.Client.Database("admin").RunCommand(ctx, cmd).Err()
	if err != nil && !mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound) {
		return fmt.Errorf("%s %v: %w", cmd[0].Key, cmd[0].Value, err)
	}
	return nil
}
