package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// An application writes documents that nobody else writes, one operation at a
// time, and so knows what must be there.
type application struct {
	crowd *crowd
	r     *rand.Rand
	docs  []*document
	next  int64 // the number of its next document
}

// patience is how long an application waits for an operation.
const patience = 20 * time.Second

// A change is what one operation does to one document.
type change struct {
	doc *document
	attempt
	k int32 // the shard key afterwards
	// do writes and reports whether it found the document, if it needs one.
	do    func(ctx context.Context, c *mongo.Collection) (bool, error)
	needs bool // the document must be there
}

// step does one random operation.
func (a *application) step(ctx context.Context) {
	p := a.r.IntN(100)
	if p < 20 {
		a.perform(ctx, a.insert())
		return
	}
	if p < 28 {
		a.transact(ctx)
		return
	}
	if d := a.pick(); d != nil {
		a.perform(ctx, a.change(d, p))
	}
}

// pick returns a document that is still written, nil if there is none at hand.
func (a *application) pick() *document {
	for range 8 {
		if len(a.docs) == 0 {
			return nil
		}
		if d := a.docs[a.r.IntN(len(a.docs))]; !d.retired {
			return d
		}
	}
	return nil
}

func (a *application) insert() change {
	a.next++
	d := &document{key: key{collections[a.r.IntN(len(collections))], a.next}, k: int32(a.r.IntN(keySpan))}
	a.docs = append(a.docs, d)
	return a.put(d)
}

// change returns something that may be done to a document, given what is known
// of it.
func (a *application) change(d *document, p int) change {
	switch {
	case d.doubt || !d.there:
		return a.put(d)
	case p < 45:
		return a.update(d, a.set)
	case p < 62:
		return a.update(d, a.array)
	case p < 74:
		return a.put(d)
	case p < 80 && d.coll == ranged:
		return a.move(d)
	case p < 94:
		return a.remove(d)
	}
	return a.update(d, a.deep)
}

// put makes the document whatever was there before.
func (a *application) put(d *document) change {
	v := a.crowd.ledger.version()
	body := d.body(a.r, v)
	return change{doc: d, attempt: attempt{version: v}, k: d.k, do: func(ctx context.Context, c *mongo.Collection) (bool, error) {
		_, err := c.ReplaceOne(ctx, d.filter(), body, options.Replace().SetUpsert(true))
		return true, err
	}}
}

func (a *application) update(d *document, with func(v int64) any) change {
	v := a.crowd.ledger.version()
	u := with(v)
	return change{doc: d, attempt: attempt{version: v}, k: d.k, needs: true, do: func(ctx context.Context, c *mongo.Collection) (bool, error) {
		res, err := c.UpdateOne(ctx, d.filter(), u)
		return err == nil && res.MatchedCount == 1, err
	}}
}

func (a *application) set(v int64) any {
	return bson.D{
		{"$set", bson.D{{"v", v}, {"z", a.r.IntN(9)}, {"b", a.r.IntN(9)}, {"m", bson.D{{"q", v}}}}},
		{"$unset", bson.D{{"text", ""}}},
	}
}

func (a *application) deep(v int64) any {
	if a.r.IntN(3) == 0 {
		return bson.A{bson.D{{"$set", bson.D{{"v", v}, {"deep", bson.D{{"x", "$deep.x"}, {"v", v}}}}}}, bson.D{{"$unset", "when"}}}
	}
	return bson.D{
		{"$set", bson.D{{"v", v}, {"deep.x.y", a.r.IntN(100)}, {"deep.new" + string(rune('a'+a.r.IntN(5))), v}}},
		{"$inc", bson.D{{"count", 1}}},
	}
}

func (a *application) array(v int64) any {
	set := bson.E{Key: "$set", Value: bson.D{{"v", v}}}
	switch a.r.IntN(4) {
	case 0:
		return bson.D{set, {"$push", bson.D{{"items", bson.D{{"$each", bson.A{v, "x"}}, {"$slice", -5}}}}}}
	case 1:
		return bson.D{set, {"$pop", bson.D{{"items", 1 - 2*a.r.IntN(2)}}}}
	case 2:
		return bson.D{set, {"$addToSet", bson.D{{"items", a.r.IntN(5)}}}}
	}
	return bson.D{set, {"$push", bson.D{{"items", bson.D{{"$each", bson.A{v}}, {"$position", 0}}}}}}
}

// move changes the shard key, which may carry the document to another shard.
func (a *application) move(d *document) change {
	v, k := a.crowd.ledger.version(), int32(a.r.IntN(keySpan))
	return change{doc: d, attempt: attempt{version: v, moved: true}, k: k, needs: true, do: func(ctx context.Context, c *mongo.Collection) (bool, error) {
		res, err := c.UpdateOne(ctx, d.filter(), bson.D{{"$set", bson.D{{"v", v}, {"k", k}}}})
		return err == nil && res.MatchedCount == 1, err
	}}
}

func (a *application) remove(d *document) change {
	v := a.crowd.ledger.version()
	return change{doc: d, attempt: attempt{version: v, deleted: true}, k: d.k, needs: true, do: func(ctx context.Context, c *mongo.Collection) (bool, error) {
		res, err := c.DeleteOne(ctx, d.filter())
		return err == nil && res.DeletedCount == 1, err
	}}
}

// perform does one change by itself.
func (a *application) perform(ctx context.Context, c change) {
	a.send(ctx, []change{c}, func(ctx context.Context, client *mongo.Client, _ *mongo.Session) (bool, error) {
		return c.do(ctx, collection(client, c.doc.coll))
	})
}

// transact changes several documents at once.
func (a *application) transact(ctx context.Context) {
	var changes []change
	for range 2 + a.r.IntN(2) {
		d := a.pick()
		if d == nil || d.doubt || !d.there {
			continue
		}
		if twice := contains(changes, d); !twice {
			changes = append(changes, pick(a.r, a.put, a.remove, func(d *document) change { return a.update(d, a.set) })(d))
		}
	}
	if len(changes) == 0 {
		return
	}
	a.send(ctx, changes, func(ctx context.Context, client *mongo.Client, s *mongo.Session) (bool, error) {
		all := true
		_, err := s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
			all = true
			for _, c := range changes {
				found, err := c.do(ctx, collection(client, c.doc.coll))
				if err != nil {
					return nil, err
				}
				all = all && found
			}
			return nil, nil
		})
		return all, err
	})
}

func contains(changes []change, d *document) bool {
	for _, c := range changes {
		if c.doc == d {
			return true
		}
	}
	return false
}

// send tries changes on a cluster and notes in the ledger what came of it.
func (a *application) send(ctx context.Context, changes []change, do func(ctx context.Context, c *mongo.Client, s *mongo.Session) (bool, error)) {
	side := a.crowd.where(a.r)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := a.crowd.clients[side]
	s, err := client.StartSession()
	if err != nil {
		a.crowd.bad.add("start a session: %v", err)
		return
	}
	defer s.EndSession(ctx)
	for _, c := range changes {
		a.crowd.ledger.try(c.doc.key, c.attempt)
	}
	losses, before := a.crowd.sides[side].calm()
	begun := time.Now()
	found, err := do(mongo.NewSessionContext(ctx, s), client, s)
	lost, after := a.crowd.sides[side].calm()
	var at shardferry.ClusterTime
	if t := s.OperationTime(); t != nil {
		at = *t
	}
	o := outcomeOf{side: side, begun: begun, at: at, found: found, err: err, certain: before && after && losses == lost}
	a.settle(changes, o)
}

// outcomeOf is how an operation ended.
type outcomeOf struct {
	side    Side
	begun   time.Time
	at      shardferry.ClusterTime
	found   bool
	err     error
	certain bool // nothing disturbed it
}

func (a *application) settle(changes []change, o outcomeOf) {
	switch {
	case o.err == nil && !o.found:
		a.crowd.took(o.side, o.begun)
		a.missed(changes, o)
		return
	case o.err == nil:
		a.crowd.took(o.side, o.begun)
		for _, c := range changes {
			a.crowd.ledger.acknowledge(c.doc.key, o.side, o.at)
			c.doc.there, c.doc.doubt, c.doc.k = !c.deleted, false, c.k
		}
		return
	case mongoconn.IsCode(o.err, mongoconn.CodeUserWritesBlocked):
		a.crowd.refuse(o.side)
		if o.certain {
			for _, c := range changes {
				a.crowd.ledger.forget(c.doc.key)
			}
			return
		}
	case mongoconn.Classify(o.err) == mongoconn.Transient, errors.Is(o.err, context.DeadlineExceeded):
	default:
		a.crowd.bad.add("an application's write to the %v failed: %v", o.side, o.err)
	}
	a.crowd.lost()
	for _, c := range changes {
		c.doc.doubt = true
		// Where the document is now is not known, so it could be made twice.
		c.doc.retired = c.doc.retired || c.moved
	}
}

// missed handles an update or a delete that found nothing. A retry may find that
// the first attempt has done it already; otherwise a document that was
// acknowledged is not there.
func (a *application) missed(changes []change, o outcomeOf) {
	for _, c := range changes {
		if o.certain && len(changes) == 1 {
			a.crowd.bad.add("%v: the %v does not find it, but it was acknowledged", c.doc.key, o.side)
		}
		c.doc.doubt, c.doc.retired = true, true
	}
}
