package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A membership is how a shard stands in the cluster.
type membership int

const (
	member   membership = iota
	draining            // the balancer empties it
	joining             // streams get to know it
	removed
)

func (c *Catalog) membership(id string) membership {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.standing[id]
}

// isDraining reports whether a shard is to give up what it has.
func (c *Catalog) isDraining(id string) bool { return c.membership(id) == draining }

// takers returns the shards that new data may go to.
func (c *Catalog) takers() []string { return slices.DeleteFunc(c.shardIDs(), c.isDraining) }

// setMembership changes how a shard stands, in config.shards first.
func (c *Catalog) setMembership(ctx context.Context, s Shard, m membership) error {
	w := c.writes()
	if m == removed {
		w.remove("shards", bson.D{{"_id", s.ID}}, false)
	} else {
		w.put("shards", bson.E{Key: "_id", Value: s.ID}, bson.D{{"$set", bson.D{{"draining", true}}}})
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing[s.ID] = m
	return nil
}

// removeShard drains a shard. The config server has a command of its own.
func removeShard(ctx context.Context, o *op) (bson.Raw, error) {
	s, err := o.r.catalog.shard(getString(o.req.Body, o.req.Name))
	if err != nil {
		return nil, err
	}
	if s.ID == ConfigShard {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Cannot remove the config server as a shard using removeShard. To transition the config shard to a dedicated config server use the transitionToDedicatedConfigServer command.")
	}
	return o.drain(ctx, s)
}

// drain starts to drain a shard, tells how far that is, and in the end takes the
// shard out of the cluster. The balancer moves the chunks; databases and
// unsharded collections are moved by commands.
func (o *op) drain(ctx context.Context, s Shard) (bson.Raw, error) {
	c := o.r.catalog
	unlock, err := c.locks.exclusive(ctx, "config.shards")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !slices.ContainsFunc(c.takers(), func(id string) bool { return id != s.ID }) {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Operation not allowed because it would remove the last shard")
	}
	left := c.leftOn(s.ID)
	switch {
	case c.membership(s.ID) == removed: // by somebody else just now
		return nil, mongoerr.New(mongoerr.ShardNotFound, "Shard %s does not exist", s.ID)
	case !c.isDraining(s.ID):
		if err := c.setMembership(ctx, s, draining); err != nil {
			return nil, err
		}
		o.changelog(ctx, "removeShard.start", "", bson.D{{"shard", s.ID}})
		return rawDoc(append(bson.D{{"msg", "draining started successfully"}, {"state", "started"}, {"shard", s.ID}}, o.toMove(left)...)), nil
	case left.chunks+len(left.dbs)+len(left.collections) > 0:
		return rawDoc(append(bson.D{{"msg", "draining ongoing"}, {"state", "ongoing"}, {"remaining", bson.D{
			{"chunks", int64(left.chunks + len(left.collections))}, {"dbs", int64(len(left.dbs))}, {"jumboChunks", int64(left.jumbo)},
		}}}, o.toMove(left)...)), nil
	}
	if s.ID == ConfigShard {
		if pending, err := o.clearConfigServer(ctx); err != nil || pending != nil {
			return pending, err
		}
	}
	if err := c.setMembership(ctx, s, removed); err != nil {
		return nil, err
	}
	o.changelog(ctx, "removeShard", "", bson.D{{"shard", s.ID}})
	return rawDoc(bson.D{{"msg", "removeshard completed successfully"}, {"state", "completed"}, {"shard", s.ID}}), nil
}

// A remainder is what a shard still has.
type remainder struct {
	chunks, jumbo    int
	dbs, collections []string
}

func (c *Catalog) leftOn(shard string) remainder {
	r := remainder{dbs: []string{}, collections: []string{}}
	for _, t := range c.tables("") {
		for i := range t.chunks {
			switch ch := &t.chunks[i]; {
			case ch.shard != shard:
			case t.unsplittable:
				r.collections = append(r.collections, t.ns)
			default:
				r.chunks++
				if ch.jumbo {
					r.jumbo++
				}
			}
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for name, d := range c.databases {
		if d.primary == shard {
			r.dbs = append(r.dbs, name)
		}
	}
	slices.Sort(r.dbs)
	return r
}

// toMove tells what the balancer does not move.
func (o *op) toMove(left remainder) bson.D {
	if !o.r.cfg.Version.AtLeast(8, 0) {
		return bson.D{{"note", "you need to drop or movePrimary these databases"}, {"dbsToMove", left.dbs}}
	}
	return bson.D{
		{"note", "you need to call moveCollection for collectionsToMove and afterwards movePrimary for the dbsToMove"},
		{"dbsToMove", left.dbs},
		{"collectionsToMove", left.collections},
	}
}
