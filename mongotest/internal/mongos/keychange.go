package mongos

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// alone runs an update that may change a shard key with the collection to
// itself: what it reads stays so until it has written.
func (w *writeOp) alone(ctx context.Context, s statement) error {
	unlock, err := w.exclusive(ctx, w.ns)
	if err != nil {
		return err
	}
	defer unlock()
	if w.r.catalog.moved.has(w.moveKey(s.stmt)) {
		w.result.n, w.result.modified = w.result.n+1, w.result.modified+1
		w.result.retried = append(w.result.retried, s.stmt)
		return nil
	}
	return w.fresh(w.ns, func() error { return w.changing(ctx, s) })
}

// changing runs a statement that may change a shard key by what the router
// knows.
func (w *writeOp) changing(ctx context.Context, s statement) error {
	if err := w.locate(ctx); err != nil {
		return err
	}
	if w.rt.table == nil {
		return w.batch(ctx, w.rt.shards[0], []statement{s})
	}
	p := w.plan(s)
	switch {
	case !p.alone && p.single():
		return w.batch(ctx, p.shards[0], []statement{s})
	case !p.alone:
		return w.spread(ctx, p)
	}
	err := w.changeKey(ctx, p)
	for w.undone(ctx, err) {
		err = w.changeKey(ctx, p)
	}
	if err != nil {
		return w.failed([]statement{s}, err)
	}
	return nil
}

// changeKey updates one document whose shard key may change. In place on its
// shard if that owns the new key too, else by deleting and inserting it.
func (w *writeOp) changeKey(ctx context.Context, p plan) error {
	q := getDoc(p.doc, "q")
	by, err := w.comparing(w.ns, p.doc)
	if err != nil {
		return err
	}
	doc, from, err := w.findOne(ctx, w.rt, p.shards, q, nil, by)
	if err != nil {
		return err
	}
	if doc == nil {
		p.alone, p.spread = false, true
		return w.spread(ctx, p)
	}
	idx, err := w.arrayIndex(q, doc, by)
	if err != nil {
		return err
	}
	post, err := w.applied(p.doc, doc, idx)
	if err != nil {
		return err
	}
	post = withSameID(doc, post)
	to, err := w.rt.table.shardOf(post)
	if err != nil {
		return err
	}
	if to == from {
		s := p.statement
		s.doc = withID(set(s.doc, bson.E{Key: "upsert", Value: false}), doc)
		return w.batch(ctx, from, []statement{s})
	}
	if err := w.moveDocument(ctx, w.rt, doc, post, from, to); err != nil {
		return err
	}
	w.r.catalog.moved.add(w.moveKey(p.stmt), nil)
	w.result.n, w.result.modified = w.result.n+1, w.result.modified+1
	return nil
}

// withSameID gives a replacement without _id that of the document it replaces.
func withSameID(doc, post bson.Raw) bson.Raw {
	id, ok := value.Get(doc, "_id")
	if !ok || has(post, "_id") {
		return post
	}
	return rawDoc(append(bson.D{{"_id", id}}, elementsOf(post)...))
}

func elementsOf(doc bson.Raw) bson.D {
	var d bson.D
	for name, v := range value.Elements(doc) {
		d = append(d, bson.E{Key: name, Value: v})
	}
	return d
}

func (o *op) arrayIndex(q, doc bson.Raw, by *collation.Collation) (int, error) {
	m, err := query.Compile(q, query.Options{Expr: o.exprHook(), Collation: by, Where: anyWhere})
	if err != nil {
		return -1, err
	}
	if ok, idx := m.MatchArrayIndex(doc); ok {
		return idx, nil
	}
	return -1, nil
}

// findOne returns the first document that matches on these shards, in the
// order of sort, and the shard that has it; nil if there is none.
func (o *op) findOne(ctx context.Context, rt route, shards []string, q, sort bson.Raw, by *collation.Collation) (bson.Raw, string, error) {
	_, coll, _ := splitNS(rt.ns)
	if q == nil {
		q = rawDoc(bson.D{})
	}
	cmd := bson.D{{"find", coll}, {"filter", q}, {"limit", int64(1)}, {"singleBatch", true}}
	if !value.IsEmpty(sort) {
		cmd = append(cmd, bson.E{Key: "sort", Value: sort})
	}
	if v, ok := value.Get(o.req.Body, "let"); ok {
		cmd = append(cmd, bson.E{Key: "let", Value: v})
	}
	if rt.table != nil && !by.Same(rt.table.collation) {
		cmd = append(cmd, collationArg(by))
	}
	base := o.read(o.req.DB, cmd)
	resps, err := o.sendAll(ctx, shards, func(shard string) call {
		c := base
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, "", err
	}
	less := func(bson.Raw, bson.Raw) int { return 0 }
	if !value.IsEmpty(sort) {
		s, err := query.CompileSort(sort, by)
		if err != nil {
			return nil, "", err
		}
		less = s.Compare
	}
	var best bson.Raw
	var at string
	for i, resp := range resps {
		docs := getDocs(getDoc(resp.Body, "cursor"), "firstBatch")
		if len(docs) > 0 && (best == nil || less(docs[0], best) < 0) {
			best, at = docs[0], shards[i]
		}
	}
	return best, at, nil
}

// moveDocument deletes doc on one shard and inserts post on another, in the
// client's transaction or in one of the router's own.
func (o *op) moveDocument(ctx context.Context, rt route, doc, post bson.Raw, from, to string) error {
	in := o
	if o.txn == nil {
		if !has(o.req.Body, "txnNumber") {
			return mongoerr.New(mongoerr.IllegalOperation, "Must run update to shard key field in a multi-statement transaction or with retryWrites: true.")
		}
		in = &op{r: o.r, txn: o.internalTxn(), req: &command.Request{
			Name: o.req.Name, DB: o.req.DB, Client: o.req.Client, Body: rawDoc(bson.D{{"internal", true}}),
		}}
	}
	err := in.replaceAcross(ctx, rt, doc, post, from, to)
	if o.txn != nil {
		return err
	}
	if err == nil {
		err = in.commitSurely(ctx)
	} else {
		err = firstOf(err, in.abort(context.WithoutCancel(ctx)))
	}
	o.keep(in.time)
	return err
}

// commitSurely commits a transaction of the router's own, and asks again when the
// answer is lost: nobody else can find out what has become of it.
func (o *op) commitSurely(ctx context.Context) error {
	for {
		_, err := o.commit(ctx)
		if err == nil || !retriable(err) {
			return err
		}
		timer := time.NewTimer(commitPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// commitPause is how soon a commit is asked for again.
const commitPause = 50 * time.Millisecond

// undone reports whether err is that a transaction of the router's own was ended
// before it was committed, as elections do: nobody else repeats it.
func (o *op) undone(ctx context.Context, err error) bool {
	return o.txn == nil && mongoerr.Is(err, mongoerr.NoSuchTransaction) && ctx.Err() == nil
}

func firstOf(err, second error) error {
	if err != nil {
		return err
	}
	return second
}

func (o *op) replaceAcross(ctx context.Context, rt route, doc, post bson.Raw, from, to string) error {
	_, coll, _ := splitNS(rt.ns)
	id, _ := value.Get(doc, "_id")
	send := func(shard, name string, body bson.Raw) error {
		resp, err := o.send(ctx, shard, call{
			name: name, db: o.req.DB, body: rawDoc(bson.D{{name, coll}, {"ordered", true}}), routed: rt.routed(shard),
			seqs: []command.Sequence{{ID: sequenceOf[name], Docs: []bson.Raw{body}}},
		})
		if err != nil {
			return err
		}
		if errs := getDocs(resp.Body, "writeErrors"); len(errs) > 0 {
			return writeError(errs[0])
		}
		if getInt(resp.Body, "n", 0) != 1 {
			return mongoerr.New(mongoerr.WriteConflict, "the document %s changed while its shard key was updated", id)
		}
		return nil
	}
	if err := send(from, "delete", rawDoc(bson.D{{"q", bson.D{{"_id", bson.D{{"$eq", id}}}}}, {"limit", int32(1)}})); err != nil {
		return err
	}
	err := send(to, "insert", post)
	var e *mongoerr.Error
	if errors.As(err, &e) && e.Code == mongoerr.DuplicateKey {
		c := *e
		c.Message = "Failed to update document's shard key field. There is either an orphan for this document or _id for this collection is not globally unique. :: caused by :: " + e.Message
		return &c
	}
	return err
}

// writeError is an element of writeErrors as an error.
func writeError(d bson.Raw) error {
	e := mongoerr.New(mongoerr.Code(getInt(d, "code", int64(mongoerr.InternalError))), "%s", getString(d, "errmsg"))
	for name, v := range value.Elements(d) {
		if name != "index" && name != "code" && name != "errmsg" && name != "codeName" {
			e = e.WithInfo(name, v)
		}
	}
	return e
}

// internalTxn is a transaction of the router's own, in a child session of the
// client's: its lsid also holds the retryable write it is part of.
func (o *op) internalTxn() *txn {
	var id, uid, number bson.RawValue
	lsid := getDoc(o.req.Body, "lsid")
	id, _ = value.Get(lsid, "id")
	uid, _ = value.Get(lsid, "uid")
	number, _ = value.Get(o.req.Body, "txnNumber")
	if id.Type == 0 {
		id = value.Of(value.NewUUID().Binary())
	}
	d := bson.D{{"id", id}}
	if uid.Type != 0 {
		d = append(d, bson.E{Key: "uid", Value: uid})
	}
	if number.Type != 0 {
		d = append(d, bson.E{Key: "txnNumber", Value: number})
	}
	d = append(d, bson.E{Key: "txnUUID", Value: value.NewUUID().Binary()})
	return &txn{lsid: value.Doc(rawDoc(d)), number: value.Int64(0)}
}
