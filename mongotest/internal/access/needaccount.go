package access

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// accountRules are the rules of the commands on users and roles.
var accountRules = map[string]rule{
	"createUser": granting("createUser"), "updateUser": updateUser, "dropUser": onDB("dropUser"), "dropAllUsersFromDatabase": onDB("dropUser"),
	"grantRolesToUser": granting(), "revokeRolesFromUser": onRoles("revokeRole"),
	"createRole": granting("createRole"), "updateRole": granting("revokeRole", "grantRole"), "dropRole": onDB("dropRole"), "dropAllRolesFromDatabase": onDB("dropRole"),
	"grantRolesToRole": granting(), "revokeRolesFromRole": onRoles("revokeRole"),
	"grantPrivilegesToRole": granting(), "revokePrivilegesFromRole": onPrivileges("revokeRole"),
	"usersInfo": usersInfo, "rolesInfo": rolesInfo, "invalidateUserCache": onServer("invalidateUserCache"),
}

// granting is the rule of commands that give roles and privileges: the actions
// on the database, and the right to grant where they come from.
func granting(actions ...string) rule {
	return func(req *command.Request) []Need {
		out := needs(Resource{DB: req.DB}, actions...)
		out = append(out, onRoles("grantRole")(req)...)
		return append(out, onPrivileges("grantRole")(req)...)
	}
}

// onRoles is the rule of commands that need an action on the database of every
// role they name.
func onRoles(action string) rule {
	return func(req *command.Request) []Need {
		var out []Need
		for _, r := range NamedRoles(req.Body.Lookup("roles"), req.DB) {
			out = append(out, Need{Resource{DB: r.DB}, action})
		}
		return out
	}
}

// onPrivileges is the same for the resources of the privileges they name. Only
// an administrator of the database admin may grant what goes beyond one.
func onPrivileges(action string) rule {
	return func(req *command.Request) []Need {
		arr, _ := req.Body.Lookup("privileges").ArrayOK()
		var out []Need
		for _, v := range value.Elements(bson.Raw(arr)) {
			d, _ := v.DocumentOK()
			db, _ := d.Lookup("resource", "db").StringValueOK()
			if db == "" {
				db = "admin"
			}
			out = append(out, Need{Resource{DB: db}, action})
		}
		return out
	}
}

// NamedRoles reads an array of roles, each {role, db} or a name of the given
// database.
func NamedRoles(v bson.RawValue, db string) []command.Role {
	arr, _ := v.ArrayOK()
	var out []command.Role
	for _, e := range value.Elements(bson.Raw(arr)) {
		if name, ok := e.StringValueOK(); ok {
			out = append(out, command.Role{Role: name, DB: db})
			continue
		}
		if d, ok := e.DocumentOK(); ok {
			r := command.Role{}
			r.Role, _ = d.Lookup("role").StringValueOK()
			r.DB, _ = d.Lookup("db").StringValueOK()
			out = append(out, r)
		}
	}
	return out
}

// updateUser may be run by everybody on his own password and data, given the
// action for that.
func updateUser(req *command.Request) []Need {
	prefix := "change"
	if self(req, req.Collection(), req.DB) {
		prefix = "changeOwn"
	}
	r := Resource{DB: req.DB}
	var out []Need
	for field, action := range map[string]string{"pwd": "Password", "customData": "CustomData"} {
		if req.Body.Lookup(field).Type != 0 {
			out = append(out, Need{r, prefix + action})
		}
	}
	if req.Body.Lookup("roles").Type != 0 {
		out = append(out, Need{r, "revokeRole"})
		out = append(out, onRoles("grantRole")(req)...)
	}
	if req.Body.Lookup("authenticationRestrictions").Type != 0 {
		out = append(out, Need{r, "setAuthenticationRestriction"})
	}
	return out
}

// self reports whether the client is the user of that name.
func self(req *command.Request, name, db string) bool {
	return req.Client.User == UserID(db, name)
}

// usersInfo may be asked by everybody about himself.
func usersInfo(req *command.Request) []Need {
	v := req.Body.Lookup("usersInfo")
	if d, ok := v.DocumentOK(); ok && value.Truthy(d.Lookup("forAllDBs")) {
		return needs(Resource{Cluster: true}, "viewUser")
	}
	var out []Need
	for _, u := range NamedUsers(v, req.DB) {
		if !self(req, u.Name, u.DB) {
			out = append(out, Need{Resource{DB: u.DB}, "viewUser"})
		}
	}
	if out == nil && v.IsNumber() {
		return needs(Resource{DB: req.DB}, "viewUser")
	}
	return out
}

// NamedUsers reads the users that usersInfo asks about: a name, {user, db}, or
// an array of these.
func NamedUsers(v bson.RawValue, db string) []User {
	if name, ok := v.StringValueOK(); ok {
		return []User{{Name: name, DB: db}}
	}
	if d, ok := v.DocumentOK(); ok {
		u := User{}
		u.Name, _ = d.Lookup("user").StringValueOK()
		u.DB, _ = d.Lookup("db").StringValueOK()
		return []User{u}
	}
	arr, _ := v.ArrayOK()
	var out []User
	for _, e := range value.Elements(bson.Raw(arr)) {
		out = append(out, NamedUsers(e, db)...)
	}
	return out
}

// rolesInfo may be asked by everybody about the roles he has.
func rolesInfo(req *command.Request) []Need {
	v := req.Body.Lookup("rolesInfo")
	named := v
	if _, isArray := v.ArrayOK(); !isArray {
		named = value.ArrayOf(v)
	}
	if v.IsNumber() {
		return needs(Resource{DB: req.DB}, "viewRole")
	}
	var out []Need
	for _, r := range NamedRoles(named, req.DB) {
		if !holds(req.Client, r) {
			out = append(out, Need{Resource{DB: r.DB}, "viewRole"})
		}
	}
	return out
}

func holds(c *command.Client, r command.Role) bool {
	for _, have := range c.Roles {
		if have == r {
			return true
		}
	}
	return false
}
