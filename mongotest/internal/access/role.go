package access

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Role is a role as it was created, or as it is built in: what it grants
// itself, and whose grants it inherits.
type Role struct {
	Name       command.Role
	Privileges Privileges
	Roles      []command.Role
}

// A RoleFinder looks up a role that somebody created.
type RoleFinder func(command.Role) (Role, bool)

// Find returns a built-in role, or one that custom knows.
func (custom RoleFinder) Find(name command.Role) (Role, bool) {
	if !Builtin(name) {
		return custom(name)
	}
	b := builtinRoles[name.Role]
	r := Role{Name: name}
	if b.roles != nil {
		r.Roles = b.roles(name.DB)
	}
	if b.privileges != nil {
		r.Privileges = b.privileges(name.DB)
	}
	return r, true
}

// Expand returns every role that the given ones are or inherit, and what all
// of them allow. Roles that do not exist are left out.
func (custom RoleFinder) Expand(roles []command.Role) (all []command.Role, ps Privileges) {
	for todo := slices.Clone(roles); len(todo) > 0; todo = todo[1:] {
		if slices.Contains(all, todo[0]) {
			continue
		}
		r, ok := custom.Find(todo[0])
		if !ok {
			continue
		}
		all = append(all, r.Name)
		ps = append(ps, r.Privileges...)
		todo = append(todo, r.Roles...)
	}
	return all, ps
}

// BSON returns the role as a document of admin.system.roles.
func (r Role) BSON() bson.Raw {
	return value.D("_id", r.Name.DB+"."+r.Name.Role, "role", r.Name.Role, "db", r.Name.DB,
		"privileges", r.Privileges.BSON(), "roles", RolesBSON(r.Roles))
}

// RolesBSON returns role names as an array of {role, db}.
func RolesBSON(roles []command.Role) []bson.Raw {
	out := []bson.Raw{}
	for _, r := range roles {
		out = append(out, value.D("role", r.Role, "db", r.DB))
	}
	return out
}

// ParseRole reads a document of admin.system.roles. What cannot be understood
// grants nothing.
func ParseRole(doc bson.Raw) Role {
	name, _ := doc.Lookup("role").StringValueOK()
	db, _ := doc.Lookup("db").StringValueOK()
	r := Role{Name: command.Role{Role: name, DB: db}, Roles: rolesIn(doc)}
	if arr, ok := doc.Lookup("privileges").ArrayOK(); ok {
		for _, v := range value.Elements(bson.Raw(arr)) {
			if d, ok := v.DocumentOK(); ok {
				if ps, err := ParsePrivileges([]bson.Raw{d}); err == nil {
					r.Privileges = append(r.Privileges, ps...)
				}
			}
		}
	}
	return r
}

// rolesIn reads the field roles of a stored user or role.
func rolesIn(doc bson.Raw) []command.Role {
	arr, _ := doc.Lookup("roles").ArrayOK()
	var roles []command.Role
	for _, v := range value.Elements(bson.Raw(arr)) {
		if d, ok := v.DocumentOK(); ok {
			name, _ := d.Lookup("role").StringValueOK()
			db, _ := d.Lookup("db").StringValueOK()
			roles = append(roles, command.Role{Role: name, DB: db})
		}
	}
	return roles
}
