package rehearse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// An application is one writer of a workload.
type application struct {
	w  *Workload
	r  *rand.Rand
	id int
	n  int // documents it has inserted
}

// newIDs is where the ids of inserted documents begin, far from the data set's.
const newIDs = 1 << 40

// step does one random operation.
func (a *application) step(ctx context.Context, c *mongo.Client) (wrote bool, err error) {
	switch p := a.r.IntN(100); {
	case p < 30:
		return a.insert(ctx, c)
	case p < 55:
		err = a.update(ctx, c)
	case p < 65:
		err = a.changeArray(ctx, c)
	case p < 75:
		err = a.replace(ctx, c)
	case p < 88:
		err = a.remove(ctx, c)
	case p < 94:
		return a.log(ctx, c)
	default:
		err = a.transfer(ctx, c)
	}
	return false, err
}

func (a *application) orders(c *mongo.Client) *mongo.Collection {
	return c.Database(shop).Collection("orders")
}

func (a *application) insert(ctx context.Context, c *mongo.Client) (wrote bool, err error) {
	a.n++
	id := newIDs + a.id<<32 + a.n
	switch a.r.IntN(3) {
	case 0:
		_, err = a.orders(c).InsertOne(ctx, order(a.r, id))
	case 1:
		_, err = c.Database(metrics).Collection("readings").InsertOne(ctx, reading(a.r, id))
	default:
		_, err = c.Database(crm).Collection("customers").InsertOne(ctx, customer(a.r, id%(1<<31)+a.id*1000))
	}
	if mongo.IsDuplicateKeyError(err) { // an insert of which the answer was lost
		return false, nil
	}
	return err == nil, err
}

// someOrder picks an order that is likely to exist.
func (a *application) someOrder() bson.D {
	if a.n > 0 && a.r.IntN(2) == 0 {
		return bson.D{{"_id", int64(newIDs + a.id<<32 + 1 + a.r.IntN(a.n))}}
	}
	return bson.D{{"_id", int64(a.r.IntN(2000))}}
}

func (a *application) update(ctx context.Context, c *mongo.Client) error {
	if a.r.IntN(2) == 0 {
		_, err := c.Database(crm).Collection("customers").UpdateOne(ctx,
			bson.D{{"_id", bson.D{{"region", countries[a.r.IntN(len(countries))]}, {"no", int32(a.r.IntN(2000))}}}},
			bson.D{{"$inc", bson.D{{"version", 1}}}, {"$set", bson.D{{"note." + countries[a.r.IntN(3)], a.r.IntN(100)}}}})
		return err
	}
	_, err := a.orders(c).UpdateOne(ctx, a.someOrder(), bson.D{
		{"$inc", bson.D{{"version", 1}}},
		{"$set", bson.D{{"status", fmt.Sprintf("s%d", a.r.IntN(5))}, {"z", a.r.IntN(9)}, {"b", a.r.IntN(9)}}},
		{"$unset", bson.D{{"address.zip", ""}}},
	})
	return err
}

func (a *application) changeArray(ctx context.Context, c *mongo.Client) error {
	changes := []bson.D{
		{{"$push", bson.D{{"items", bson.D{{"sku", "extra"}, {"qty", int32(1)}}}}}},
		{{"$pop", bson.D{{"items", 1}}}},
		{{"$set", bson.D{{"items.0.qty", int32(a.r.IntN(50))}}}},
		{{"$push", bson.D{{"items", bson.D{{"$each", bson.A{}}, {"$slice", 2}}}}}},
		{{"$pull", bson.D{{"items", bson.D{{"sku", "extra"}}}}}},
	}
	_, err := a.orders(c).UpdateOne(ctx, a.someOrder(), changes[a.r.IntN(len(changes))])
	// An order that lost its items in between has no element 0 to change.
	var we mongo.WriteException
	if errors.As(err, &we) && len(we.WriteErrors) > 0 && (we.HasErrorCode(28) || we.HasErrorCode(2)) {
		return nil
	}
	return err
}

func (a *application) replace(ctx context.Context, c *mongo.Client) error {
	id := a.r.IntN(500)
	_, err := c.Database(crm).Collection("sessions").ReplaceOne(ctx,
		bson.D{{"_id", bson.Binary{Subtype: 4, Data: []byte(fmt.Sprintf("%016d", id))}}}, session(a.r, id), options.Replace().SetUpsert(true))
	return err
}

func (a *application) remove(ctx context.Context, c *mongo.Client) error {
	_, err := a.orders(c).DeleteOne(ctx, a.someOrder())
	return err
}

func (a *application) log(ctx context.Context, c *mongo.Client) (wrote bool, err error) {
	a.n++
	_, err = c.Database(metrics).Collection("recent").InsertOne(ctx, bson.D{{"_id", int64(newIDs + a.id<<32 + a.n)}, {"text", "something happened"}})
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	return err == nil, err
}

// transfer moves an amount between two documents in a transaction: whoever
// sees one half must see the other.
func (a *application) transfer(ctx context.Context, c *mongo.Client) error {
	sess, err := c.StartSession()
	if err != nil {
		return err
	}
	defer sess.EndSession(context.WithoutCancel(ctx))
	_, err = sess.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		accounts := c.Database(crm).Collection("accounts")
		from, to := a.r.IntN(20), a.r.IntN(20)
		for id, by := range map[int]int{from: -1, to: 1} {
			if _, err := accounts.UpdateOne(ctx, bson.D{{"_id", id}}, bson.D{{"$inc", bson.D{{"amount", by}}}}, options.UpdateOne().SetUpsert(true)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}
