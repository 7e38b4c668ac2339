package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// storedColl is the collection in which a database keeps its stored JavaScript.
// Change streams say nothing about it (server: system collections are left out
// unless the undocumented showSystemEvents is given), so it is read as a whole.
const storedColl = "system.js"

// StoredLimit bounds the stored JavaScript of a cluster, in bytes. All of it is
// read while applications may not write.
const StoredLimit = 16 << 20

// ErrStoredTooLarge reports more stored JavaScript than is carried over.
var ErrStoredTooLarge = errors.New("the databases hold more than 16 MiB of stored JavaScript (system.js): exclude a database, or move functions out of it")

// Stored is the stored JavaScript of a cluster: the documents of each system.js,
// in the order of their _id.
type Stored map[shardferry.Namespace][]bson.Raw

// ReadStored reads the stored JavaScript of all databases for which name returns
// the name it goes by, no older than after.
func ReadStored(ctx context.Context, client *mongo.Client, after shardferry.ClusterTime, name func(shardferry.Namespace) (shardferry.Namespace, bool)) (Stored, error) {
	dbs, err := client.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	stored, size := Stored{}, 0
	for _, db := range dbs {
		ns := shardferry.Namespace{DB: db, Coll: storedColl}
		as, ok := name(ns)
		if (shardferry.Namespace{DB: db}).Internal() || !ok {
			continue
		}
		err := mongoconn.ReadAfter(ctx, client, ns, after, bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}), func(doc bson.Raw) error {
			if size += len(doc); size > StoredLimit {
				return ErrStoredTooLarge
			}
			stored[as] = append(stored[as], doc)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// Namespaces lists where there is stored JavaScript.
func (s Stored) Namespaces() []shardferry.Namespace {
	var all []shardferry.Namespace
	for ns := range s {
		all = append(all, ns)
	}
	slices.SortFunc(all, func(a, b shardferry.Namespace) int { return bytes.Compare([]byte(a.DB), []byte(b.DB)) })
	return all
}

// StoredChange is what makes one system.js what another one is.
type StoredChange struct {
	NS      shardferry.Namespace
	Insert  []bson.Raw
	Replace []bson.Raw
	Delete  []bson.RawValue // by _id
}

// ChangeStored lists what makes to what from is.
func ChangeStored(from, to Stored) []StoredChange {
	all := Stored{}
	for _, s := range []Stored{from, to} {
		for ns := range s {
			all[ns] = nil
		}
	}
	var changes []StoredChange
	for _, ns := range all.Namespaces() {
		c := StoredChange{NS: ns}
		there := byKey(to[ns])
		for _, doc := range from[ns] {
			old, ok := there[storedKey(doc)]
			switch {
			case !ok:
				c.Insert = append(c.Insert, doc)
			case !bytes.Equal(old, doc):
				c.Replace = append(c.Replace, doc)
			}
			delete(there, storedKey(doc))
		}
		for _, doc := range to[ns] {
			if _, ok := there[storedKey(doc)]; ok {
				c.Delete = append(c.Delete, doc.Lookup("_id"))
			}
		}
		if len(c.Insert)+len(c.Replace)+len(c.Delete) > 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

func byKey(docs []bson.Raw) map[string]bson.Raw {
	m := make(map[string]bson.Raw, len(docs))
	for _, doc := range docs {
		m[storedKey(doc)] = doc
	}
	return m
}

// storedKey tells documents of one collection apart. Numbers that are equal and of
// other types get other keys: then the old one is deleted first.
func storedKey(doc bson.Raw) string {
	id := doc.Lookup("_id")
	return string(id.Type) + string(id.Value)
}

// Apply makes the change. It may be repeated with what is left to do.
func (c StoredChange) Apply(ctx context.Context, client *mongo.Client) error {
	coll := client.Database(c.NS.DB).Collection(c.NS.Coll)
	for _, id := range c.Delete {
		if _, err := coll.DeleteOne(ctx, equals(id)); err != nil {
			return fmt.Errorf("delete from %s: %w", c.NS, err)
		}
	}
	for _, doc := range c.Replace {
		if _, err := coll.ReplaceOne(ctx, equals(doc.Lookup("_id")), doc); err != nil {
			return fmt.Errorf("replace in %s: %w", c.NS, err)
		}
	}
	if len(c.Insert) == 0 {
		return nil
	}
	// What an earlier attempt inserted is there, without having been seen yet.
	_, err := coll.InsertMany(ctx, c.Insert)
	if mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("insert into %s: %w: %w", c.NS, err, mongoconn.ErrPasses)
	}
	if err != nil {
		return fmt.Errorf("insert into %s: %w", c.NS, err)
	}
	return nil
}

func equals(id bson.RawValue) bson.D { return bson.D{{"_id", bson.D{{"$eq", id}}}} }
