package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runUsersInfo shows users: those named, those of the database for 1, all for
// {forAllDBs: true}.
func runUsersInfo(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	v := a.lookup("usersInfo")
	credentials, privileges := a.bool("showCredentials", false), a.bool("showPrivileges", false)
	customData := a.bool("showCustomData", true)
	named := access.NamedUsers(v, op.req.DB)
	spec, _ := v.DocumentOK()
	everywhere := value.Truthy(spec.Lookup("forAllDBs"))
	exact := !everywhere && !v.IsNumber()
	if privileges && !exact {
		a.fail(mongoerr.BadValue, "Privilege or restriction details require exact-match usersInfo queries")
	}
	matcher, err := op.listFilter(a.doc("filter"))
	if a.err != nil || err != nil {
		return nil, firstError(a.err, err)
	}
	users := []bson.Raw{}
	err = op.view(func(tx *storage.Tx) error {
		return eachAccount(tx, usersNS, func(rec storage.Rec) error {
			u := access.ParseUser(rec.Doc)
			if exact && !isNamed(named, u) || !exact && !everywhere && u.DB != op.req.DB {
				return nil
			}
			if ok, err := matcher.Match(rec.Doc); err != nil || !ok {
				return err
			}
			if !customData {
				u.CustomData = nil
			}
			users = append(users, userInfo(tx, u, credentials, privileges))
			return nil
		})
	})
	return value.D("users", users), err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func isNamed(list []access.User, u access.User) bool {
	for _, n := range list {
		if n.Name == u.Name && n.DB == u.DB {
			return true
		}
	}
	return false
}

// userInfo is a user as usersInfo shows it.
func userInfo(tx *storage.Tx, u access.User, credentials, privileges bool) bson.Raw {
	info := without(u.BSON(), func(field string) bool { return field == "credentials" && !credentials })
	info = appendFields(info, "mechanisms", u.Credentials.Mechanisms())
	if privileges {
		all, ps := roleFinder(tx).Expand(u.Roles)
		info = appendFields(info, "inheritedRoles", access.RolesBSON(all), "inheritedPrivileges", ps.BSON(),
			"inheritedAuthenticationRestrictions", value.A(), "authenticationRestrictions", value.A())
	}
	return info
}

// runRolesInfo shows roles: those named, or those of the database for 1.
func runRolesInfo(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	v := a.lookup("rolesInfo")
	privileges, builtin := a.bool("showPrivileges", false), a.bool("showBuiltinRoles", false)
	if a.err != nil {
		return nil, a.err
	}
	names := v
	if _, isArray := v.ArrayOK(); !isArray {
		names = value.ArrayOf(v)
	}
	roles := []bson.Raw{}
	err := op.view(func(tx *storage.Tx) error {
		list := access.NamedRoles(names, op.req.DB)
		if v.IsNumber() || v.Type == bson.TypeBoolean {
			list = rolesOf(tx, op.req.DB, builtin)
		}
		finder := roleFinder(tx)
		for _, name := range list {
			if r, ok := finder.Find(name); ok {
				roles = append(roles, roleInfo(finder, r, privileges))
			}
		}
		return nil
	})
	return value.D("roles", roles), err
}

// rolesOf returns the roles of a database, the built-in ones too if wanted.
func rolesOf(tx *storage.Tx, db string, builtin bool) []command.Role {
	var list []command.Role
	_ = eachAccount(tx, rolesNS, func(rec storage.Rec) error { // never fails: the function does not
		if r := access.ParseRole(rec.Doc); r.Name.DB == db {
			list = append(list, r.Name)
		}
		return nil
	})
	if builtin {
		for _, name := range access.BuiltinNames(db) {
			list = append(list, command.Role{Role: name, DB: db})
		}
	}
	return list
}

// roleInfo is a role as rolesInfo shows it.
func roleInfo(finder access.RoleFinder, r access.Role, privileges bool) bson.Raw {
	inherited, ps := finder.Expand(r.Roles)
	builtin := access.Builtin(r.Name)
	var pairs []any
	if !builtin {
		pairs = append(pairs, "_id", roleID(r.Name))
	}
	pairs = append(pairs, "role", r.Name.Role, "db", r.Name.DB, "isBuiltin", builtin,
		"roles", access.RolesBSON(r.Roles), "inheritedRoles", access.RolesBSON(inherited))
	if privileges {
		pairs = append(pairs, "privileges", r.Privileges.BSON(), "inheritedPrivileges", append(r.Privileges[:len(r.Privileges):len(r.Privileges)], ps...).BSON())
	}
	return value.D(pairs...)
}
