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

func runCreateRole(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	a.require("privileges", "roles")
	a.refuseRestrictions()
	r := access.Role{Name: command.Role{Role: a.string("createRole"), DB: op.req.DB}, Roles: op.rolesArg(a)}
	r.Privileges = privilegesArg(a)
	switch {
	case r.Name.Role == "":
		a.fail(mongoerr.BadValue, "Role name must be non-empty")
	case r.Name.DB == "local" || r.Name.DB == access.External:
		a.fail(mongoerr.BadValue, "Cannot create roles in the %s database", r.Name.DB)
	case access.Builtin(r.Name):
		a.fail(mongoerr.BadValue, "Cannot create roles with the same name as a built-in role")
	}
	if a.err != nil {
		return nil, a.err
	}
	return emptyDoc(), op.changeAccounts(ctx, rolesNS, func(tx *storage.Tx, c *storage.Collection) error {
		if err := mayInherit(tx, r.Name, r.Roles); err != nil {
			return err
		}
		if err := mayGrant(r.Name, r.Privileges); err != nil {
			return err
		}
		if _, ok := accountIn(tx, rolesNS, roleID(r.Name)); ok {
			return mongoerr.New(roleExists, "Role \"%s@%s\" already exists", r.Name.Role, r.Name.DB)
		}
		_, err := tx.Insert(c, r.BSON(), op.ddlMeta())
		return err
	})
}

func runUpdateRole(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	a.refuseRestrictions()
	roles, privileges := op.rolesArg(a), privilegesArg(a)
	if !a.has("roles") && !a.has("privileges") && !a.has("authenticationRestrictions") {
		a.fail(mongoerr.BadValue, "Must specify at least one field to update in updateRole")
	}
	return op.changeRole(ctx, a, func(tx *storage.Tx, r *access.Role) error {
		if a.has("roles") {
			r.Roles = roles
		}
		if a.has("privileges") {
			r.Privileges = privileges
		}
		if err := mayInherit(tx, r.Name, r.Roles); err != nil {
			return err
		}
		return mayGrant(r.Name, r.Privileges)
	})
}

// runChangeRoleRoles lets a role inherit others, or no longer.
func runChangeRoleRoles(change func(have, named []command.Role) []command.Role) func(context.Context, *operation) (bson.Raw, error) {
	return func(ctx context.Context, op *operation) (bson.Raw, error) {
		a := op.args()
		named := op.rolesArg(a)
		if len(named) == 0 {
			a.fail(mongoerr.BadValue, "%s command requires a non-empty \"roles\" array", op.req.Name)
		}
		return op.changeRole(ctx, a, func(tx *storage.Tx, r *access.Role) error {
			r.Roles = change(r.Roles, named)
			return mayInherit(tx, r.Name, r.Roles)
		})
	}
}

// runChangePrivileges adds privileges to a role or takes them away.
func runChangePrivileges(change func(have, named access.Privileges) access.Privileges) func(context.Context, *operation) (bson.Raw, error) {
	return func(ctx context.Context, op *operation) (bson.Raw, error) {
		a := op.args()
		named := privilegesArg(a)
		if len(named) == 0 {
			a.fail(mongoerr.BadValue, "%s command requires a non-empty \"privileges\" array", op.req.Name)
		}
		return op.changeRole(ctx, a, func(_ *storage.Tx, r *access.Role) error {
			r.Privileges = change(r.Privileges, named)
			return mayGrant(r.Name, r.Privileges)
		})
	}
}

func addPrivileges(have, named access.Privileges) access.Privileges {
	return append(slices.Clone(have), named...)
}

// changeRole stores the role that the command names as change leaves it.
func (op *operation) changeRole(ctx context.Context, a *args, change func(*storage.Tx, *access.Role) error) (bson.Raw, error) {
	name := command.Role{Role: a.string(op.req.Name), DB: op.req.DB}
	failIfBuiltin(a, name)
	if a.err != nil {
		return nil, a.err
	}
	return emptyDoc(), op.changeAccounts(ctx, rolesNS, func(tx *storage.Tx, c *storage.Collection) error {
		rec, ok := accountIn(tx, rolesNS, roleID(name))
		if !ok {
			return mongoerr.New(mongoerr.RoleNotFound, "Could not find role: %s@%s", name.Role, name.DB)
		}
		r := access.ParseRole(rec.Doc)
		if err := change(tx, &r); err != nil {
			return err
		}
		_, err := tx.Replace(c, rec.ID, r.BSON(), op.ddlMeta())
		return err
	})
}

func failIfBuiltin(a *args, name command.Role) {
	if access.Builtin(name) {
		a.fail(mongoerr.BadValue, "%s@%s is a built-in role and cannot be modified", name.Role, name.DB)
	}
}

// mayInherit fails unless role may inherit others: they exist, belong to its
// database unless it is one of admin, and do not inherit it themselves.
func mayInherit(tx *storage.Tx, role command.Role, others []command.Role) error {
	for _, r := range others {
		if r == role {
			return mongoerr.New(mongoerr.InvalidRoleModification, "Cannot grant role %s@%s to itself.", r.Role, r.DB)
		}
		if role.DB != "admin" && r.DB != role.DB {
			return mongoerr.New(mongoerr.InvalidRoleModification,
				"Roles on the '%s' database cannot be granted roles from other databases", role.DB)
		}
	}
	if err := rolesExist(tx, others); err != nil {
		return mongoerr.New(mongoerr.RoleNotFound, "Cannot grant roles to '%s@%s': %s", role.Role, role.DB, mongoerr.From(err).Message)
	}
	if all, _ := roleFinder(tx).Expand(others); slices.Contains(all, role) {
		return mongoerr.New(mongoerr.InvalidRoleModification,
			"Granting roles to %s@%s would introduce a cycle in the role graph", role.Role, role.DB)
	}
	return nil
}

// mayGrant fails if a role of one database grants what lies outside of it.
func mayGrant(role command.Role, ps access.Privileges) error {
	for _, p := range ps {
		if role.DB != "admin" && (p.Resource.DB != role.DB || p.Resource.Cluster || p.Resource.Any) {
			return mongoerr.New(mongoerr.InvalidRoleModification,
				"Roles on the '%s' database cannot be granted privileges that target other databases or the cluster", role.DB)
		}
	}
	return nil
}

func privilegesArg(a *args) access.Privileges {
	ps, err := access.ParsePrivileges(a.docs("privileges"))
	if err != nil && a.err == nil {
		a.err = err
	}
	return ps
}

func runDropRole(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	name := command.Role{Role: a.string("dropRole"), DB: op.req.DB}
	failIfBuiltin(a, name)
	if a.err != nil {
		return nil, a.err
	}
	n, err := op.dropRoles(ctx, func(r command.Role) bool { return r == name })
	if err == nil && n == 0 {
		err = mongoerr.New(mongoerr.RoleNotFound, "Could not find role: %s@%s", name.Role, name.DB)
	}
	return emptyDoc(), err
}

func runDropAllRoles(ctx context.Context, op *operation) (bson.Raw, error) {
	n, err := op.dropRoles(ctx, func(r command.Role) bool { return r.DB == op.req.DB })
	return value.D("n", n), err
}

// dropRoles removes roles, from the users and roles that have them too.
func (op *operation) dropRoles(ctx context.Context, match func(command.Role) bool) (n int32, err error) {
	m := op.ddlMeta()
	err = op.changeAccounts(ctx, rolesNS, func(tx *storage.Tx, roles *storage.Collection) error {
		n = 0
		err := eachAccount(tx, rolesNS, func(rec storage.Rec) error {
			r := access.ParseRole(rec.Doc)
			if match(r.Name) {
				n++
				return tx.Delete(roles, rec.ID, m)
			}
			r.Roles = slices.DeleteFunc(r.Roles, match)
			_, err := tx.Replace(roles, rec.ID, r.BSON(), m)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
		return eachAccount(tx, usersNS, func(rec storage.Rec) error {
			u := access.ParseUser(rec.Doc)
			u.Roles = slices.DeleteFunc(u.Roles, match)
			_, err := tx.Replace(tx.Collection(usersNS), rec.ID, u.BSON(), m)
			return err
		})
	})
	return n, err
}
