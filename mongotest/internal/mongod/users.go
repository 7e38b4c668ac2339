package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func accountCommands() map[string]*handler {
	return map[string]*handler{
		"createUser":               {runCreateUser, isWrite},
		"updateUser":               {runUpdateUser, isWrite},
		"dropUser":                 {runDropUser, isWrite},
		"dropAllUsersFromDatabase": {runDropAllUsers, isWrite},
		"grantRolesToUser":         {runChangeUserRoles(addRoles), isWrite},
		"revokeRolesFromUser":      {runChangeUserRoles(removeRoles), isWrite},
		"usersInfo":                {runUsersInfo, 0},

		"createRole":               {runCreateRole, isWrite},
		"updateRole":               {runUpdateRole, isWrite},
		"dropRole":                 {runDropRole, isWrite},
		"dropAllRolesFromDatabase": {runDropAllRoles, isWrite},
		"grantRolesToRole":         {runChangeRoleRoles(addRoles), isWrite},
		"revokeRolesFromRole":      {runChangeRoleRoles(removeRoles), isWrite},
		"grantPrivilegesToRole":    {runChangePrivileges(addPrivileges), isWrite},
		"revokePrivilegesFromRole": {runChangePrivileges(access.Privileges.Without), isWrite},
		"rolesInfo":                {runRolesInfo, 0},

		"_mergeAuthzCollections": {runMergeAccounts, isWrite},
		"invalidateUserCache":    {runNothing, 0}, // nothing is cached
		"connectionStatus":       {runConnectionStatus, 0},
	}
}

// Codes of the server that have no name.
const (
	roleExists    mongoerr.Code = 51002
	userExists    mongoerr.Code = 51003
	emptyPassword mongoerr.Code = 50687
)

func runCreateUser(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	name, db := a.string("createUser"), op.req.DB
	a.require("roles")
	a.refuseRestrictions()
	u := access.User{DB: db, Name: name, ID: value.NewUUID(), Roles: op.rolesArg(a), CustomData: a.doc("customData")}
	switch {
	case db == "local":
		a.fail(mongoerr.BadValue, "Cannot create users in the local database")
	case name == "":
		a.fail(mongoerr.BadValue, "User document needs 'user' field to be non-empty")
	case db != access.External && !a.has("pwd"):
		a.fail(mongoerr.BadValue, "Must provide a 'pwd' field for all user documents, except those with '$external' as the user's source db")
	case db == access.External && a.has("pwd"):
		a.fail(mongoerr.BadValue, "Cannot set the password for users defined on the '$external' database")
	}
	u.Credentials = credentialsArg(a, name, db == access.External)
	if a.err != nil {
		return nil, a.err
	}
	return emptyDoc(), op.changeAccounts(ctx, usersNS, func(tx *storage.Tx, c *storage.Collection) error {
		if err := rolesExist(tx, u.Roles); err != nil {
			return err
		}
		if _, ok := accountIn(tx, usersNS, access.UserID(db, name)); ok {
			return mongoerr.New(userExists, "User \"%s@%s\" already exists", name, db)
		}
		_, err := tx.Insert(c, u.BSON(), op.ddlMeta())
		return err
	})
}

// runUpdateUser replaces the fields that it is given, as they are.
func runUpdateUser(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	name, db := a.string("updateUser"), op.req.DB
	a.refuseRestrictions()
	roles, customData := op.rolesArg(a), a.doc("customData")
	var credentials access.Credentials
	switch {
	case a.has("pwd") && db == access.External:
		a.fail(mongoerr.BadValue, "Cannot set the password for users defined on the '$external' database")
	case a.has("pwd"):
		credentials = credentialsArg(a, name, false)
	case !a.has("mechanisms") && !a.has("roles") && !a.has("customData") && !a.has("authenticationRestrictions"):
		a.fail(mongoerr.BadValue, "Must specify at least one field to update in updateUser")
	}
	keep := mechanismsArg(a)
	if a.err != nil {
		return nil, a.err
	}
	return emptyDoc(), op.changeUser(ctx, name, func(tx *storage.Tx, u *access.User) error {
		if a.has("roles") {
			u.Roles = roles
		}
		if a.has("customData") {
			u.CustomData = customData
		}
		if a.has("pwd") {
			u.Credentials = credentials
		} else if a.has("mechanisms") {
			if err := trimMechanisms(&u.Credentials, keep); err != nil {
				return err
			}
		}
		return rolesExist(tx, u.Roles)
	}, func() error { return mongoerr.New(mongoerr.UserNotFound, "User %s@%s not found", name, db) })
}

// trimMechanisms leaves only some of the mechanisms a user has.
func trimMechanisms(c *access.Credentials, keep []string) error {
	have := c.Mechanisms()
	for _, m := range keep {
		if !slices.Contains(have, m) {
			return mongoerr.New(mongoerr.BadValue, "mechanisms field must be a subset of previously set mechanisms")
		}
	}
	trimmed := access.Credentials{SCRAM: map[string]access.Stored{}}
	for _, m := range keep {
		trimmed.SCRAM[m] = c.SCRAM[m]
	}
	*c = trimmed
	return nil
}

func runDropUser(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	name := a.string("dropUser")
	if a.err != nil {
		return nil, a.err
	}
	return emptyDoc(), op.changeAccounts(ctx, usersNS, func(tx *storage.Tx, c *storage.Collection) error {
		rec, ok := accountIn(tx, usersNS, access.UserID(op.req.DB, name))
		if !ok {
			return mongoerr.New(mongoerr.UserNotFound, "User '%s@%s' not found", name, op.req.DB)
		}
		return tx.Delete(c, rec.ID, op.ddlMeta())
	})
}

func runDropAllUsers(ctx context.Context, op *operation) (bson.Raw, error) {
	var n int32
	err := op.changeAccounts(ctx, usersNS, func(tx *storage.Tx, c *storage.Collection) error {
		n = 0
		return eachAccount(tx, usersNS, func(rec storage.Rec) error {
			if access.ParseUser(rec.Doc).DB != op.req.DB {
				return nil
			}
			n++
			return tx.Delete(c, rec.ID, op.ddlMeta())
		})
	})
	return value.D("n", n), err
}

// runChangeUserRoles gives roles to a user or takes them away.
func runChangeUserRoles(change func(have, named []command.Role) []command.Role) func(context.Context, *operation) (bson.Raw, error) {
	return func(ctx context.Context, op *operation) (bson.Raw, error) {
		a := op.args()
		name, db := a.string(op.req.Name), op.req.DB
		named := op.rolesArg(a)
		if len(named) == 0 {
			a.fail(mongoerr.BadValue, "%s command requires a non-empty \"roles\" array", op.req.Name)
		}
		if a.err != nil {
			return nil, a.err
		}
		return emptyDoc(), op.changeUser(ctx, name, func(tx *storage.Tx, u *access.User) error {
			u.Roles = change(u.Roles, named)
			return rolesExist(tx, named)
		}, func() error {
			return mongoerr.New(mongoerr.UserNotFound, "Could not find user \"%s\" for db \"%s\"", name, db)
		})
	}
}

func addRoles(have, named []command.Role) []command.Role {
	out := slices.Clone(have)
	for _, r := range named {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

func removeRoles(have, named []command.Role) []command.Role {
	return slices.DeleteFunc(slices.Clone(have), func(r command.Role) bool { return slices.Contains(named, r) })
}

// changeUser stores a user as change leaves it.
func (op *operation) changeUser(ctx context.Context, name string, change func(*storage.Tx, *access.User) error, missing func() error) error {
	return op.changeAccounts(ctx, usersNS, func(tx *storage.Tx, c *storage.Collection) error {
		rec, ok := accountIn(tx, usersNS, access.UserID(op.req.DB, name))
		if !ok {
			return missing()
		}
		u := access.ParseUser(rec.Doc)
		if err := change(tx, &u); err != nil {
			return err
		}
		_, err := tx.Replace(c, rec.ID, u.BSON(), op.ddlMeta())
		return err
	})
}

// changeAccounts runs fn on one of the collections of users and roles.
func (op *operation) changeAccounts(ctx context.Context, ns string, fn func(*storage.Tx, *storage.Collection) error) error {
	return op.write(ctx, ns, func(tx *storage.Tx) error {
		c, err := accountsIn(tx, ns, op.ddlMeta())
		if err != nil {
			return err
		}
		return fn(tx, c)
	})
}
