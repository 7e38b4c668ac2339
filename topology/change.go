package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// ErrUnsupportedChange reports a schema change of the source that cannot be
// carried over. The sync pauses at it.
var ErrUnsupportedChange = errors.New("this schema change is not supported: undo it on the source, or start a new sync")

// A Changer applies schema changes to a destination, one at a time, while
// nothing else writes to it.
type Changer struct {
	Client      *mongo.Client
	Source      *mongo.Client    // read where a change does not tell enough
	Route       shardferry.Route // from the source's names to the destination's
	Sharded     bool             // the destination is a sharded cluster
	Relax       bool             // indexes and limits take their final form at the commit
	Defer       bool             // indexes are built later, after the copy
	Collections []shardferry.Collection
	Indexes     []Index
	Limits      []Limit
	Logger      *slog.Logger

	// StillLeads is asked before anything is dropped or renamed; nil: nobody else could
	// lead. An error of it is returned, and nothing is changed.
	StillLeads func(ctx context.Context) error
}

// Index is an index of the destination as far as it has come.
type Index struct {
	NS       shardferry.Namespace
	Spec     bson.Raw // in its final form
	Built    bool
	Finished bool
}

// IndexRef names an index of the destination; an empty Name means all.
type IndexRef struct {
	NS   shardferry.Namespace
	Name string
}

// Outcome is what a schema change made of the catalogue.
type Outcome struct {
	Collections []shardferry.Collection // new or changed
	Indexes     []Index                 // new or changed
	Dropped     []IndexRef              // gone, the limits of the namespace with them
	Limits      []Limit                 // new or changed
	From, To    shardferry.Namespace    // a namespace that has another name now
	Replaced    Replaced                // a collection that has another UUID or shard key on the source now

	// Copy is the source with nothing but a collection that was not selected until
	// now, and whose documents have to be copied; nil if there is none.
	Copy *Cluster
}

// Apply makes the change on the destination. It may be repeated after it was
// interrupted, as long as no later change was made.
func (c *Changer) Apply(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	if change.Kind == "create" {
		return c.create(ctx, change)
	}
	adopted, replaced := c.adopt(change)
	out, err := c.apply(ctx, change)
	out.Collections = append(adopted, out.Collections...)
	if !replaced.From.IsZero() {
		out.Replaced = replaced
	}
	return out, err
}

func (c *Changer) apply(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	switch change.Kind {
	case "drop":
		return c.drop(ctx, change)
	case "dropDatabase":
		return c.dropDatabase(ctx, change)
	case "rename":
		return c.rename(ctx, change)
	}
	// One that was made up, because nobody has seen it, has no time.
	if coll, ok := c.met(change.UUID); ok && !change.Time.IsZero() && !change.Time.After(coll.Entered) {
		return Outcome{}, nil
	}
	switch change.Kind {
	case "createIndexes":
		return c.createIndexes(ctx, change)
	case "dropIndexes":
		return c.dropIndexes(ctx, change)
	case "modify":
		return c.modify(ctx, change)
	case "shardCollection":
		return c.shardCollection(ctx, change)
	case "reshardCollection":
		return c.reshard(ctx, change)
	case "refineCollectionShardKey":
		return c.refine(ctx, change)
	case Adopt:
		if _, ok := c.met(change.UUID); ok {
			return Outcome{}, nil
		}
		return Outcome{}, fmt.Errorf("documents of %s come under a UUID that nothing has announced: %w", change.NS, ErrUnsupportedChange)
	}
	return Outcome{}, fmt.Errorf("%s: %w", change.Kind, ErrUnsupportedChange)
}

// known returns the collection of a change, if the destination still has it.
func (c *Changer) known(id shardferry.UUID) (shardferry.Collection, bool) {
	coll, ok := c.met(id)
	return coll, ok && coll.Synced()
}

// met returns a collection of the catalogue, synced or not.
func (c *Changer) met(id shardferry.UUID) (shardferry.Collection, bool) {
	for _, coll := range c.Collections {
		if coll.UUID == id && !id.IsZero() {
			return coll, true
		}
	}
	return shardferry.Collection{}, false
}

func (c *Changer) create(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	to, selected := c.Route.To(change.NS)
	if !selected {
		return c.excluded(change), nil
	}
	if c.Route.Taken(change.NS) {
		return Outcome{}, fmt.Errorf("create %s: %w", change.NS, c.taken(change.NS))
	}
	details := describe(change)
	if on, err := details.LookupErr("viewOn"); err == nil {
		name, _ := on.StringValueOK()
		if (shardferry.Namespace{DB: change.NS.DB, Coll: name}).Internal() {
			return Outcome{}, fmt.Errorf("%s is a time-series collection: %w", change.NS, ErrUnsupportedChange)
		}
		if err := c.checkView(change.NS, details); err != nil {
			return Outcome{}, err
		}
		if err := c.filtered(Collection{Type: TypeView}, change.NS); err != nil {
			return Outcome{}, err
		}
		return Outcome{}, createIfAbsent(ctx, c.Client, to, CreateOptions(details))
	}
	if _, ok := c.met(change.UUID); ok {
		return Outcome{}, nil
	}
	made := Collection{NS: to, UUID: change.UUID, Type: TypeCollection, Options: CreateOptions(details)}
	if problems := made.problems(); len(problems) > 0 {
		return Outcome{}, fmt.Errorf("%s: %w", problems[0], ErrUnsupportedChange)
	}
	if err := c.filtered(made, change.NS); err != nil {
		return Outcome{}, err
	}
	options := made.Options
	if c.Relax {
		options = loosen(options)
	}
	if err := createIfAbsent(ctx, c.Client, to, options); err != nil {
		return Outcome{}, err
	}
	out := Outcome{Collections: []shardferry.Collection{{
		UUID: change.UUID, Source: change.NS, Destination: to, Capped: made.Capped(), Collated: made.Collated(),
	}}}
	if l, ok := made.limit(); ok && c.Relax {
		out.Limits = []Limit{l}
	}
	return out, nil
}

func (c *Changer) drop(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	if change.UUID.IsZero() {
		to, selected := c.Route.To(change.NS)
		if !selected {
			return Outcome{}, nil
		}
		return Outcome{}, c.dropView(ctx, to)
	}
	coll, ok := c.met(change.UUID)
	if !ok || coll.Dropped {
		return Outcome{}, nil
	}
	if coll.Excluded {
		coll.Dropped = true
		return Outcome{Collections: []shardferry.Collection{coll}}, nil
	}
	if err := c.dropCollection(ctx, coll.Destination); err != nil {
		return Outcome{}, err
	}
	coll.Dropped = true
	return Outcome{
		Collections: []shardferry.Collection{coll},
		Dropped:     []IndexRef{{NS: coll.Destination}},
	}, nil
}

// dropView drops a view, and only a view: a collection of the same name was
// created by a later change that this one must not undo.
func (c *Changer) dropView(ctx context.Context, ns shardferry.Namespace) error {
	names, err := c.Client.Database(ns.DB).ListCollectionNames(ctx, bson.D{{"name", ns.Coll}, {"type", TypeView}})
	if err != nil {
		return fmt.Errorf("look for the view %s: %w", ns, err)
	}
	if len(names) == 0 {
		return nil
	}
	err = c.Client.Database(ns.DB).RunCommand(ctx, bson.D{{"drop", ns.Coll}, majority}).Err()
	if err != nil && !mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound) {
		return fmt.Errorf("drop the view %s: %w", ns, err)
	}
	return nil
}

// dropDatabase drops what is left of a database: the drops of its collections
// came before.
func (c *Changer) dropDatabase(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	to, selected := c.Route.Database(change.NS.DB)
	if !selected || c.Route.Ambiguous(change.NS.DB) {
		return Outcome{}, nil
	}
	for _, coll := range c.Collections {
		if coll.Destination.DB == to && coll.Synced() {
			return Outcome{}, nil // it was created again before the streams began
		}
	}
	if err := c.Client.Database(to).Drop(ctx); err != nil {
		return Outcome{}, fmt.Errorf("drop database %s: %w", to, err)
	}
	return Outcome{}, nil
}

func (c *Changer) shardCollection(ctx context.Context, change shardferry.SchemaChange) (Outcome, error) {
	coll, ok := c.known(change.UUID)
	details := describe(change)
	key, hasKey := details.Lookup("shardKey").DocumentOK()
	if !ok || !c.Sharded || len(coll.ShardKey) > 0 {
		return Outcome{}, nil
	}
	if !hasKey {
		return Outcome{}, fmt.Errorf("shardCollection of %s carries no shardKey: %w", change.NS, ErrUnsupportedChange)
	}
	unique, _ := details.Lookup("unique").BooleanOK()
	var out Outcome
	// Its data may be there already; then the key needs its index first.
	if !isIDKey(key) {
		var err error
		if out.Indexes, err = c.shardKeyIndex(ctx, coll, key, unique); err != nil {
			return Outcome{}, err
		}
	}
	if err := ShardCollection(ctx, c.Client, coll.Destination, key, unique, coll.Collated); err != nil {
		return Outcome{}, err
	}
	coll.ShardKey = key
	out.Collections = []shardferry.Collection{coll}
	return out, nil
}

// shardKeyIndex builds the index that a shard key needs, and returns it if the
// catalogue has it. That of a unique key takes its final form at once.
func (c *Changer) shardKeyIndex(ctx context.Context, coll shardferry.Collection, key bson.Raw, unique bool) ([]Index, error) {
	ns := coll.Destination
	like := Collection{ShardKey: key, Unique: unique}
	for _, ix := range c.Indexes {
		if ix.NS == ns {
			like.Indexes = append(like.Indexes, ix.Spec)
		}
	}
	spec := like.shardKeySpec()
	if spec == nil {
		spec = mustMarshal(bson.D{{"key", key}, {"name", defaultIndexName(key)}, {"unique", unique}})
		if coll.Collated {
			spec = ownCollation(spec)
		}
		return nil, BuildIndexes(ctx, c.Client, ns, []bson.Raw{spec})
	}
	for _, ix := range c.Indexes {
		if ix.NS != ns || IndexName(ix.Spec) != IndexName(spec) {
			continue
		}
		if unique {
			return []Index{{NS: ns, Spec: spec, Built: true, Finished: true}}, FinishIndex(ctx, c.Client, ns, spec)
		}
		if ix.Built {
			return nil, nil
		}
		ix.Built = true
		return []Index{ix}, BuildRelaxed(ctx, c.Client, ns, []bson.Raw{spec})
	}
	return nil, nil
}

// describe returns the operationDescription of a change.
func describe(change shardferry.SchemaChange) bson.Raw {
	d, _ := change.Event.Lookup("operationDescription").DocumentOK()
	return d
}
