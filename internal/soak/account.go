package main

import (
	"context"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// withAccounts reports whether users and roles come too.
func withAccounts(p *Plan) bool { return p.Accounts }

// Codes with which a server refuses changes of users and roles.
const (
	noSuchUser  = 11
	noSuchRole  = 31
	roleIsThere = 51002
	userIsThere = 51003
	rolesInRing = 49 // roles that would hold each other
)

// storedKinds change what no stream tells of.
func storedKinds() []*Kind {
	account := func(name string, often int, do func(r *rand.Rand) bson.D, in ...string) *Kind {
		if len(in) == 0 {
			in = []string{"a", "a", "admin"}
		}
		return &Kind{
			name: name, often: often, needs: withAccounts, early: true, refuses: []int{noSuchUser, noSuchRole, roleIsThere, userIsThere, rolesInRing},
			do: func(ctx context.Context, w *world, r *rand.Rand) error {
				db, cmd := one(r, in...), do(r)
				if err := w.ensureAccount(ctx, db, cmd[0]); err != nil {
					return err
				}
				return w.run(ctx, db, cmd)
			},
		}
	}
	user := func(r *rand.Rand) string { return "user" + nth(r) }
	role := func(r *rand.Rand) string { return "role" + nth(r) }
	roles := func(r *rand.Rand) bson.A {
		return one(r, bson.A{}, bson.A{"read"}, bson.A{role(r)}, bson.A{"readWrite", bson.D{{"role", role(r)}, {"db", "a"}}})
	}
	privileges := func(r *rand.Rand) bson.A {
		return bson.A{bson.D{{"resource", bson.D{{"db", "a"}, {"collection", one(r, names...)}}}, {"actions", one(r, bson.A{"find"}, bson.A{"insert", "update"})}}}
	}
	return []*Kind{
		{name: "store a function", often: 3, do: storeFunction},
		{name: "delete a stored function", often: 2, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			res, err := w.app.Database(one(r, databases...)).Collection("system.js").DeleteOne(ctx, bson.D{{"_id", bson.D{{"$gte", functionName(r)}}}})
			if err == nil && res.DeletedCount == 0 {
				return errNothing
			}
			return err
		}},
		account("createUser", 8, func(r *rand.Rand) bson.D {
			cmd := bson.D{{"createUser", user(r)}, {"pwd", nth(r)}, {"roles", roles(r)}}
			if r.IntN(3) == 0 {
				cmd = append(cmd, bson.E{Key: "customData", Value: bson.D{{"b", 1}, {"a", r.IntN(9)}}}, bson.E{Key: "mechanisms", Value: bson.A{"SCRAM-SHA-256"}})
			}
			return cmd
		}),
		account("updateUser", 4, func(r *rand.Rand) bson.D {
			return append(bson.D{{"updateUser", user(r)}}, one(r, bson.E{Key: "pwd", Value: nth(r)}, bson.E{Key: "roles", Value: roles(r)}, bson.E{Key: "customData", Value: bson.D{{"c", r.IntN(9)}}}))
		}),
		account("dropUser", 3, func(r *rand.Rand) bson.D { return bson.D{{"dropUser", user(r)}} }),
		account("createRole", 8, func(r *rand.Rand) bson.D {
			return bson.D{{"createRole", role(r)}, {"privileges", bson.A{}}, {"roles", roles(r)}}
		}),
		account("updateRole", 3, func(r *rand.Rand) bson.D {
			return append(bson.D{{"updateRole", role(r)}}, one(r, bson.E{Key: "privileges", Value: privileges(r)}, bson.E{Key: "roles", Value: roles(r)}))
		}),
		account("dropRole", 2, func(r *rand.Rand) bson.D { return bson.D{{"dropRole", role(r)}} }),
		account("grantRolesToUser", 2, func(r *rand.Rand) bson.D { return bson.D{{"grantRolesToUser", user(r)}, {"roles", roles(r)}} }),
		account("dropAllUsersFromDatabase", 1, func(*rand.Rand) bson.D { return bson.D{{"dropAllUsersFromDatabase", 1}} }, "a"),
	}
}

// ensureAccount makes the user or role that a command is about, if it is to be there.
func (w *world) ensureAccount(ctx context.Context, db string, of bson.E) error {
	var create bson.D
	switch of.Key {
	case "updateUser", "dropUser", "grantRolesToUser":
		create = bson.D{{"createUser", of.Value}, {"pwd", "first"}, {"roles", bson.A{}}}
	case "updateRole", "dropRole":
		create = bson.D{{"createRole", of.Value}, {"privileges", bson.A{}}, {"roles", bson.A{}}}
	default:
		return nil
	}
	if err := w.run(ctx, db, create); !mongoconn.IsCode(err, userIsThere) && !mongoconn.IsCode(err, roleIsThere) {
		return err
	}
	return nil
}

func functionName(r *rand.Rand) any { return one[any](r, "f", "g", "straße", int32(1), int64(2), 1.5) }

// storeFunction stores a function in place of one of the same name.
func storeFunction(ctx context.Context, w *world, r *rand.Rand) error {
	name := functionName(r)
	stored := bson.D{{"_id", name}, {"value", bson.JavaScript("function() { return " + nth(r) + " }")}}
	update := bson.D{{"q", bson.D{{"_id", name}}}, {"u", stored}, {"upsert", true}}
	return w.run(ctx, one(r, databases...), bson.D{{"update", "system.js"}, {"updates", bson.A{update}}})
}
