package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A renaming is a renameCollection under way.
type renaming struct {
	*op
	from, to     string
	source, over *table // of the two names, nil where not sharded
	primary      string
	dropTarget   bool
}

// renameCollection renames on every shard that may have a part, last on the
// primary shard, whose event is the one that change streams show.
func renameCollection(ctx context.Context, o *op) (bson.Raw, error) {
	r := renaming{op: o, from: getString(o.req.Body, "renameCollection"), to: getString(o.req.Body, "to"), dropTarget: getBool(o.req.Body, "dropTarget", false)}
	fromDB, _, ok1 := splitNS(r.from)
	toDB, _, ok2 := splitNS(r.to)
	if !ok1 || !ok2 {
		return nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s' or '%s'", r.from, r.to)
	}
	if r.from == r.to {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Can't rename a collection to itself")
	}
	primary, ok := o.r.primaryOf(fromDB)
	if !ok {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Source collection %s does not exist", r.from)
	}
	r.primary = primary
	if !internalDB(toDB) {
		p, err := o.r.catalog.ensureDatabase(ctx, toDB, primary)
		if err != nil {
			return nil, err
		}
		if p != primary {
			return nil, mongoerr.New(mongoerr.CommandFailed, "Source and destination collections must be on same shard: %s is on %s, %s on %s", r.from, primary, r.to, p)
		}
	}
	unlock, err := o.lockDatabases(ctx, fromDB, toDB)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if now := o.primaryNow(fromDB, primary); now != primary || !internalDB(toDB) && o.primaryNow(toDB, primary) != primary {
		return nil, mongoerr.New(mongoerr.ConflictingOperationInProgress, "the primary shard of %s or %s has changed", fromDB, toDB)
	}
	r.source, r.over = o.r.catalog.table(r.from), o.r.catalog.table(r.to)
	if (r.source != nil || r.over != nil) && fromDB != toDB {
		return nil, mongoerr.New(mongoerr.CommandFailed, "Source and destination collections must be on the same database when one is sharded")
	}
	return r.execute(ctx)
}

func (o *op) lockDatabases(ctx context.Context, a, b string) (func(), error) {
	if a > b {
		a, b = b, a
	}
	first, err := o.r.catalog.locks.database(ctx, a)
	if err != nil || a == b {
		return first, err
	}
	second, err := o.r.catalog.locks.database(ctx, b)
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}

func (r *renaming) execute(ctx context.Context) (bson.Raw, error) {
	if r.source == nil && r.over == nil {
		resp, err := r.send(ctx, r.primary, r.forward())
		if err != nil {
			return nil, err
		}
		return resp.Body, nil
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	ctx, done := r.r.lasting.begin(ctx) // what has begun is brought to its end
	defer done()
	if err := r.insist(ctx, func() error { return r.elsewhere(ctx) }); err != nil {
		return nil, err
	}
	reply, err := r.finally(ctx, r.primary)
	if err != nil {
		return nil, err
	}
	if r.over != nil {
		if err := r.insist(ctx, func() error { return r.r.catalog.forget(ctx, r.over) }); err != nil {
			return nil, err
		}
	}
	if r.source != nil {
		if err := r.insist(ctx, func() error { return r.r.catalog.rename(ctx, r.source, r.to) }); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// check finds out beforehand what would make the primary shard refuse.
func (r *renaming) check(ctx context.Context) error {
	if r.source != nil {
		if err := r.checkUUID(r.source); err != nil {
			return err
		}
	} else if ok, err := r.exists(ctx, r.from); err != nil || !ok {
		return firstOf(err, mongoerr.New(mongoerr.NamespaceNotFound, "Source collection %s does not exist", r.from))
	}
	if r.dropTarget {
		return nil
	}
	ok, err := r.exists(ctx, r.to)
	if err == nil && ok {
		err = mongoerr.New(mongoerr.NamespaceExists, "Target collection %s exists", r.to)
	}
	return err
}

func (r *renaming) exists(ctx context.Context, ns string) (bool, error) {
	infos, err := r.collections(ctx, r.primary, ns)
	return len(infos) > 0, err
}

// collections returns what a shard's listCollections says of ns.
func (o *op) collections(ctx context.Context, shard, ns string) ([]bson.Raw, error) {
	db, coll, _ := splitNS(ns)
	resp, err := o.send(ctx, shard, call{name: "listCollections", db: db, safe: true, body: rawDoc(bson.D{
		{"listCollections", int32(1)}, {"filter", bson.D{{"name", coll}}},
	})})
	if err != nil {
		return nil, err
	}
	return getDocs(getDoc(resp.Body, "cursor"), "firstBatch"), nil
}

// elsewhere renames on the other shards. One without the source only loses its
// part of the target; by the UUID, for under that name it may have by now what an
// earlier attempt has renamed.
func (r *renaming) elsewhere(ctx context.Context) error {
	toDB, toColl, _ := splitNS(r.to)
	body := rawDoc(bson.D{{"renameCollection", r.from}, {"to", r.to}, {"dropTarget", true}})
	return r.each(ctx, r.r.catalog.others(r.primary), func(ctx context.Context, _ int, shard string) error {
		_, err := r.send(ctx, shard, copies(call{name: "renameCollection", db: "admin", safe: true, body: body}))
		if !mongoerr.Is(err, mongoerr.NamespaceNotFound) || r.over == nil {
			return absent(err)
		}
		drop := rawDoc(bson.D{{"drop", toColl}, {"collectionUUID", r.over.uuid.Binary()}})
		_, err = r.send(ctx, shard, copies(call{name: "drop", db: toDB, safe: true, body: drop}))
		if vanished(err) {
			return nil
		}
		return err
	})
}
