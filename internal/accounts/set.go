package accounts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// ErrTooMany reports more users and roles than are carried over.
var ErrTooMany = errors.New("the cluster has more than 16 MiB of users and roles: leave withUsers (--with-users) out")

// limit bounds the users and roles of a cluster, in bytes. All of them are read
// while applications may not write.
const limit = 16 << 20

// A Set is the users and roles of a cluster.
type Set struct {
	docs map[shardferry.Account]bson.Raw
}

// String keeps credentials out of whatever prints a Set.
func (s Set) String() string { return fmt.Sprintf("%d users and roles", len(s.docs)) }

// GoString is String, for %#v.
func (s Set) GoString() string { return s.String() }

// collections has the collections in which servers keep accounts.
var collections = []struct {
	role bool
	name string
}{{false, "system.users"}, {true, "system.roles"}}

// Read reads all users and roles of a cluster, no older than after. It needs the
// role backup.
func Read(ctx context.Context, client *mongo.Client, after shardferry.ClusterTime) (Set, error) {
	s, size := Set{docs: map[shardferry.Account]bson.Raw{}}, 0
	for _, c := range collections {
		ns := shardferry.Namespace{DB: "admin", Coll: c.name}
		err := mongoconn.ReadAfter(ctx, client, ns, after, bson.D{}, options.Find(), func(doc bson.Raw) error {
			id, ok := doc.Lookup("_id").StringValueOK()
			if size += len(doc); size > limit {
				return ErrTooMany
			}
			if !ok {
				return fmt.Errorf("%s has a document whose _id is no text", ns)
			}
			s.docs[shardferry.Account{ID: id, Role: c.role}] = doc
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// Names lists the accounts in order.
func (s Set) Names() []shardferry.Account {
	return slices.SortedFunc(maps.Keys(s.docs), shardferry.Account.Compare)
}

// Has reports whether there is an account.
func (s Set) Has(a shardferry.Account) bool {
	_, ok := s.docs[a]
	return ok
}

// Without returns the set without some accounts.
func (s Set) Without(some []shardferry.Account) Set {
	rest := Set{docs: maps.Clone(s.docs)}
	for _, a := range some {
		delete(rest.docs, a)
	}
	return rest
}

// Login returns the users as which a client is logged in.
func Login(ctx context.Context, client *mongo.Client) ([]shardferry.Account, error) {
	var status struct {
		AuthInfo struct {
			Users []struct {
				User string `bson:"user"`
				DB   string `bson:"db"`
			} `bson:"authenticatedUsers"`
		} `bson:"authInfo"`
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{"connectionStatus", 1}}).Decode(&status); err != nil {
		return nil, fmt.Errorf("read as whom we are logged in: %w", err)
	}
	var users []shardferry.Account
	for _, u := range status.AuthInfo.Users {
		users = append(users, shardferry.Account{ID: u.DB + "." + u.User})
	}
	return users, nil
}

// A Difference says what makes the accounts of one cluster those of another one.
type Difference struct {
	Missing   []shardferry.Account // only on the first
	Changed   []shardferry.Account // on both by our doing, in other forms
	Gone      []shardferry.Account // only on the second, by our doing
	Conflicts []shardferry.Account // on both, in other forms, but not by our doing
}

// Equal reports whether nothing has to be done.
func (d Difference) Equal() bool {
	return len(d.Missing)+len(d.Changed)+len(d.Gone)+len(d.Conflicts) == 0
}

// Compare compares the accounts of two clusters. carried names those that are on
// both by our doing. All others of the second are left alone.
func Compare(from, to Set, carried []shardferry.Account) (Difference, error) {
	var d Difference
	ours := func(a shardferry.Account) bool { return slices.Contains(carried, a) }
	for _, a := range from.Names() {
		same, err := equal(from.docs[a], to.docs[a])
		switch {
		case err != nil:
			return d, fmt.Errorf("%v: %w", a, err)
		case !to.Has(a):
			d.Missing = append(d.Missing, a)
		case same:
		case ours(a):
			d.Changed = append(d.Changed, a)
		default:
			d.Conflicts = append(d.Conflicts, a)
		}
	}
	for _, a := range to.Names() {
		if ours(a) && !from.Has(a) {
			d.Gone = append(d.Gone, a)
		}
	}
	return d, nil
}

// equal reports whether two accounts are the same, whatever the order in which a
// server lists their fields, roles, privileges and actions.
func equal(a, b bson.Raw) (bool, error) {
	if a == nil || b == nil {
		return false, nil
	}
	x, err := normal(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: a})
	if err != nil {
		return false, err
	}
	y, err := normal(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: b})
	return err == nil && bytes.Equal(x, y), err
}

// unordered are the arrays whose order means nothing.
var unordered = []string{"roles", "privileges", "actions", "authenticationRestrictions", "clientSource", "serverAddress"}

// errMalformed says no more than its name: the document is not for reading.
var errMalformed = errors.New("its document is malformed")

// normal writes a value in a form that only depends on what it means: fields by
// their names, arrays of unordered by their elements.
func normal(v bson.RawValue) ([]byte, error) {
	doc, ok := v.DocumentOK()
	if !ok {
		return append([]byte{byte(v.Type)}, v.Value...), nil
	}
	elements, err := doc.Elements()
	if err != nil {
		return nil, errMalformed
	}
	slices.SortStableFunc(elements, func(a, b bson.RawElement) int { return cmp.Compare(a.Key(), b.Key()) })
	out := []byte{byte(v.Type)}
	for _, e := range elements {
		parts := [][]byte{}
		if array, ok := e.Value().ArrayOK(); ok && slices.Contains(unordered, e.Key()) {
			values, err := array.Values()
			if err != nil {
				return nil, errMalformed
			}
			for _, v := range values {
				part, err := normal(v)
				if err != nil {
					return nil, err
				}
				parts = append(parts, part)
			}
			slices.SortFunc(parts, bytes.Compare)
		} else {
			part, err := normal(e.Value())
			if err != nil {
				return nil, err
			}
			parts = append(parts, part)
		}
		out = append(append(out, e.Key()...), 0)
		for _, p := range parts {
			out = fmt.Appendf(out, "%d:", len(p)) // so that no boundary can shift
			out = append(out, p...)
		}
	}
	return append(out, 0), nil
}
