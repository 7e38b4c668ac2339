package accounts

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// The collections from which a server takes accounts in. The role restore may
// read these two, so they are those of mongorestore.
const (
	tempUsers = "tempusers"
	tempRoles = "temproles"
)

// ErrOccupied reports that the collections which we need for a while exist.
var ErrOccupied = errors.New("admin.tempusers or admin.temproles exists: a mongorestore runs or has left it; drop it when none runs")

// Free fails with ErrOccupied if the collections that Merge needs exist.
func Free(ctx context.Context, client *mongo.Client) error {
	names, err := client.Database("admin").ListCollectionNames(ctx, bson.D{{"name", bson.D{{"$in", bson.A{tempUsers, tempRoles}}}}})
	if err != nil {
		return fmt.Errorf("list the collections of admin: %w", err)
	}
	if len(names) > 0 {
		return ErrOccupied
	}
	return nil
}

// Clear drops the collections that Merge needs for a while.
func Clear(ctx context.Context, client *mongo.Client) error {
	for _, name := range []string{tempUsers, tempRoles} {
		if err := client.Database("admin").Collection(name).Drop(ctx); err != nil {
			return fmt.Errorf("drop admin.%s: %w", name, quiet(err))
		}
	}
	return nil
}

// MayMerge asks the cluster whether we may bring accounts in. It merges what is
// in two collections that do not exist.
func MayMerge(ctx context.Context, client *mongo.Client) error { return merge(ctx, client) }

// Merge gives the accounts of a cluster that d lists the form that they have in
// from. The cluster must be Free, but for what an earlier attempt has left. It may
// be repeated with what is left to do.
//
// The server leaves an account that exists as it is, unless it is told to drop
// all others too. So a user that changed is dropped first; a role is changed in
// place, because users lose a role that is dropped.
func Merge(ctx context.Context, client *mongo.Client, from Set, d Difference) error {
	if err := Clear(ctx, client); err != nil {
		return err
	}
	temp := map[string][]bson.Raw{}
	add := func(a shardferry.Account) {
		name := tempUsers
		if a.Role {
			name = tempRoles
		}
		temp[name] = append(temp[name], from.docs[a])
	}
	for _, a := range d.Missing {
		add(a)
	}
	for _, a := range d.Changed {
		if a.Role {
			continue
		}
		if err := drop(ctx, client, a); err != nil {
			return err
		}
		add(a)
	}
	for name, docs := range temp {
		if err := fill(ctx, client, name, docs); err != nil {
			return err
		}
	}
	if len(temp) > 0 {
		if err := merge(ctx, client); err != nil {
			return err
		}
	}
	for _, a := range d.Changed {
		if a.Role {
			if err := updateRole(ctx, client, a, from.docs[a]); err != nil {
				return err
			}
		}
	}
	for _, a := range d.Gone {
		if err := drop(ctx, client, a); err != nil {
			return err
		}
	}
	return Clear(ctx, client)
}

// fillBytes bounds one command well below the server's 16 MB. An account is far
// smaller than that.
const fillBytes = 4 << 20

// fill makes a collection in admin and inserts documents into it, and into none
// of that name that is made later: credentials that a server takes up late must
// not come to lie where nobody looks for them any more.
func fill(ctx context.Context, client *mongo.Client, name string, docs []bson.Raw) error {
	admin := client.Database("admin")
	if err := admin.CreateCollection(ctx, name); err != nil {
		return fmt.Errorf("create admin.%s: %w", name, quiet(err))
	}
	made, err := admin.ListCollectionSpecifications(ctx, bson.D{{"name", name}})
	if err != nil {
		return fmt.Errorf("look for admin.%s: %w", name, quiet(err))
	}
	if len(made) != 1 || made[0].UUID == nil {
		return fmt.Errorf("admin.%s is gone as soon as it is made", name)
	}
	for len(docs) > 0 {
		n, size := 0, 0
		for n < len(docs) && (n == 0 || size+len(docs[n]) <= fillBytes) {
			size += len(docs[n])
			n++
		}
		if err := insert(ctx, admin, name, docs[:n], *made[0].UUID); err != nil {
			return fmt.Errorf("insert into admin.%s: %w", name, quiet(err))
		}
		docs = docs[n:]
	}
	return nil
}

func insert(ctx context.Context, db *mongo.Database, coll string, docs []bson.Raw, id bson.Binary) error {
	var reply struct {
		WriteErrors []struct {
			Code int32 `bson:"code"`
		} `bson:"writeErrors"`
	}
	err := db.RunCommand(ctx, bson.D{{"insert", coll}, {"documents", docs}, {"collectionUUID", id}, majority}).Decode(&reply)
	if err == nil && len(reply.WriteErrors) > 0 {
		return mongo.CommandError{Code: reply.WriteErrors[0].Code}
	}
	return err
}

var majority = bson.E{Key: "writeConcern", Value: bson.D{{"w", "majority"}}}

func merge(ctx context.Context, client *mongo.Client) error {
	return run(ctx, client, "admin", bson.D{
		{"_mergeAuthzCollections", 1},
		{"tempUsersCollection", "admin." + tempUsers},
		{"tempRolesCollection", "admin." + tempRoles},
		{"drop", false},
		{"db", ""},
	})
}

// drop drops an account, unless it is gone.
func drop(ctx context.Context, client *mongo.Client, a shardferry.Account) error {
	db, name := a.Split()
	cmd := bson.D{{"dropUser", name}}
	if a.Role {
		cmd = bson.D{{"dropRole", name}}
	}
	err := run(ctx, client, db, cmd)
	if mongoconn.IsCode(err, mongoconn.CodeUserNotFound, mongoconn.CodeRoleNotFound) {
		return nil
	}
	return err
}

func updateRole(ctx context.Context, client *mongo.Client, a shardferry.Account, doc bson.Raw) error {
	db, name := a.Split()
	cmd := bson.D{{"updateRole", name}, {"privileges", bson.A{}}, {"roles", bson.A{}}, {"authenticationRestrictions", bson.A{}}}
	for i, e := range cmd[1:] {
		if v, err := doc.LookupErr(e.Key); err == nil {
			cmd[i+1].Value = v
		}
	}
	return run(ctx, client, db, cmd)
}

func run(ctx context.Context, client *mongo.Client, db string, cmd bson.D) error {
	if err := client.Database(db).RunCommand(ctx, append(cmd, majority)).Err(); err != nil {
		return fmt.Errorf("%s: %w", cmd[0].Key, quiet(err))
	}
	return nil
}

// quiet takes a server's own words out of an error: they may repeat a document
// with credentials. Its code and labels stay, which decide what is done.
func quiet(err error) error {
	if mongoconn.IsNetwork(err) || errors.Is(err, context.Canceled) {
		return err
	}
	var se mongo.ServerError
	if !errors.As(err, &se) {
		return errWithheld // of the driver's, which may hold the server's
	}
	for _, code := range se.ErrorCodes() {
		if code == 0 {
			continue
		}
		said := mongo.CommandError{Code: int32(code), Name: mongoconn.CodeName(code), Message: "its words are withheld"}
		for _, l := range []string{"RetryableWriteError", "RetryableError", "SystemOverloadedError", "TransientTransactionError"} {
			if se.HasErrorLabel(l) {
				said.Labels = append(said.Labels, l)
			}
		}
		return said
	}
	return errWithheld
}

var errWithheld = errors.New("it was refused; the words are withheld")
