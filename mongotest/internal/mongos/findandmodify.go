package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// findAndModify goes to the one shard that has the document. When its filter
// leaves several shards, or the update may move the document, the router looks
// for it first, with the collection to itself.
func findAndModify(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	reply, done, err := o.modifyShared(ctx, ns)
	if done || err != nil {
		return reply, err
	}
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if reply, ok := o.r.catalog.moved.get(o.moveKey(0)); ok {
		return reply, nil
	}
	return freshly(o, ns, func() (bson.Raw, error) {
		if _, err := o.writablePrimary(ctx, o.req.DB); err != nil {
			return nil, err
		}
		reply, err := o.modifyAlone(ctx, ns)
		for o.undone(ctx, err) {
			reply, err = o.modifyAlone(ctx, ns)
		}
		return reply, err
	})
}

func (o *op) modifyCall(rt route, shard string) call {
	c := o.forward()
	c.safe = has(o.req.Body, "txnNumber")
	c.routed = rt.routed(shard)
	return c
}

// modifyShared runs the command if it is certain which shard it belongs to.
func (o *op) modifyShared(ctx context.Context, ns string) (reply bson.Raw, done bool, err error) {
	if _, err := o.writablePrimary(ctx, o.req.DB); err != nil {
		return nil, false, err
	}
	unlock, err := o.shared(ctx, ns)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	err = o.fresh(ns, func() error {
		if _, err = o.writablePrimary(ctx, o.req.DB); err == nil {
			reply, done, err = o.modifyThere(ctx, ns)
		}
		return err
	})
	return reply, done, err
}

func (o *op) modifyThere(ctx context.Context, ns string) (bson.Raw, bool, error) {
	q := getDoc(o.req.Body, "query")
	by, err := o.comparing(ns, o.req.Body)
	if err != nil {
		return nil, false, err
	}
	rt, err := o.route(ns, q, by)
	if err == nil {
		err = rt.checkMoved(o, nil, q, by)
	}
	if err != nil {
		return nil, false, err
	}
	if rt.table != nil {
		if !rt.exact && !rt.table.fixesID(q, by) && !o.r.freeTargeting() {
			return nil, false, mongoerr.New(mongoerr.ShardKeyNotFound, "Query for sharded findAndModify must contain the shard key")
		}
		u, _ := value.Get(o.req.Body, "update")
		upsert := getBool(o.req.Body, "upsert", false)
		moves := u.Type != 0 && rt.table.key.touchedBy(u) && !rt.table.staysPut(u, target{rt.shards, rt.exact})
		if len(rt.shards) != 1 || upsert && !rt.exact || moves {
			return nil, false, nil
		}
	}
	resp, err := o.send(ctx, rt.shards[0], o.modifyCall(rt, rt.shards[0]))
	if err != nil {
		return nil, false, err
	}
	return resp.Body, true, nil
}

func (o *op) modifyAlone(ctx context.Context, ns string) (bson.Raw, error) {
	body := o.req.Body
	q := getDoc(body, "query")
	by, err := o.comparing(ns, body)
	if err != nil {
		return nil, err
	}
	rt, err := o.route(ns, q, by)
	if err == nil {
		err = rt.checkMoved(o, nil, q, by)
	}
	if err != nil {
		return nil, err
	}
	if rt.table == nil {
		return o.modifyOn(ctx, rt, rt.shards[0], nil)
	}
	doc, from, err := o.findOne(ctx, rt, rt.shards, q, getDoc(body, "sort"), by)
	if err != nil {
		return nil, err
	}
	u, _ := value.Get(body, "update")
	if doc == nil {
		if getBool(body, "upsert", false) {
			return o.modifyUpsert(ctx, rt, u, by)
		}
		return o.modifyNone(ctx, rt)
	}
	if u.Type == 0 {
		return o.modifyOn(ctx, rt, from, doc)
	}
	idx, err := o.arrayIndex(q, doc, by)
	if err != nil {
		return nil, err
	}
	post, err := o.apply(u, q, getDocs(body, "arrayFilters"), by, doc, idx)
	if err != nil {
		return nil, err
	}
	post = withSameID(doc, post)
	to, err := rt.table.shardOf(post)
	if err != nil {
		return nil, err
	}
	if to == from {
		return o.modifyOn(ctx, rt, from, doc)
	}
	if err := o.moveDocument(ctx, rt, doc, post, from, to); err != nil {
		return nil, err
	}
	reply, err := o.modifyReply(doc, post)
	if err == nil {
		o.r.catalog.moved.add(o.moveKey(0), reply)
	}
	return reply, err
}

// modifyOn runs the command on one shard, narrowed to doc unless that is nil.
func (o *op) modifyOn(ctx context.Context, rt route, shard string, doc bson.Raw) (bson.Raw, error) {
	c := o.modifyCall(rt, shard)
	if doc != nil {
		id, _ := value.Get(doc, "_id")
		q := getDoc(c.body, "query")
		if q == nil {
			q = rawDoc(bson.D{})
		}
		c.body = set(c.body, bson.E{Key: "query", Value: bson.D{{"$and", bson.A{q, bson.D{{"_id", bson.D{{"$eq", id}}}}}}}})
	}
	resp, err := o.send(ctx, shard, c)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// modifyNone runs the command although nothing matches: the shard that carried
// it out before, should this be a retry, answers as it did then.
func (o *op) modifyNone(ctx context.Context, rt route) (reply bson.Raw, err error) {
	for _, shard := range rt.shards {
		reply, err = o.modifyOn(ctx, rt, shard, nil)
		if err != nil || getInt(getDoc(reply, "lastErrorObject"), "n", 0) > 0 {
			break
		}
	}
	return reply, err
}

func (o *op) modifyUpsert(ctx context.Context, rt route, u bson.RawValue, by *collation.Collation) (bson.Raw, error) {
	q := getDoc(o.req.Body, "query")
	doc, err := o.apply(u, q, getDocs(o.req.Body, "arrayFilters"), by, nil, -1)
	if err != nil {
		return nil, err
	}
	shard, err := rt.table.shardOf(doc)
	if err != nil {
		return nil, err
	}
	if rt.table.key.hasID() && !fixesID(q) {
		return o.modifyOn(ctx, rt, shard, doc)
	}
	return o.modifyOn(ctx, rt, shard, nil)
}

// modifyReply is the answer for a document the router moved itself.
func (o *op) modifyReply(doc, post bson.Raw) (bson.Raw, error) {
	shown := doc
	if getBool(o.req.Body, "new", false) {
		shown = post
	}
	if spec := getDoc(o.req.Body, "fields"); !value.IsEmpty(spec) {
		p, err := query.CompileProjection(spec, query.Options{Expr: o.exprHook(), Value: o.valueHook()})
		if err != nil {
			return nil, err
		}
		if shown, err = p.Apply(shown, -1); err != nil {
			return nil, err
		}
	}
	return rawDoc(bson.D{
		{"lastErrorObject", bson.D{{"n", int32(1)}, {"updatedExisting", true}}},
		{"value", shown},
	}), nil
}
