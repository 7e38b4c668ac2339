package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestWrongCommandsOnUsersAndRoles(t *testing.T) {
	noRoles := value.A()
	tests := map[string]struct {
		code    mongoerr.Code
		message string
		db      string
		cmd     []any
	}{
		"no roles":          {mongoerr.IDLFailedToParse, "BSON field 'createUser.roles' is missing but a required field", "d", []any{"createUser", "u", "pwd", "x"}},
		"no password":       {mongoerr.BadValue, "Must provide a 'pwd' field for all user documents, except those with '$external' as the user's source db", "d", []any{"createUser", "u", "roles", noRoles}},
		"external password": {mongoerr.BadValue, "Cannot set the password for users defined on the '$external' database", "$external", []any{"createUser", "u", "pwd", "x", "roles", noRoles}},
		"empty password":    {50687, "Password cannot be empty", "d", []any{"createUser", "u", "pwd", "", "roles", noRoles}},
		"unknown mechanism": {mongoerr.BadValue, "Unknown auth mechanism 'PLAIN'", "d", []any{"createUser", "u", "pwd", "x", "roles", noRoles, "mechanisms", value.A("PLAIN")}},
		"exists":            {51003, `User "joe@d" already exists`, "d", []any{"createUser", "joe", "pwd", "x", "roles", noRoles}},
		"unknown role":      {mongoerr.RoleNotFound, "Could not find role: nope@d", "d", []any{"createUser", "u", "pwd", "x", "roles", value.A("nope")}},
		"role of admin":     {mongoerr.RoleNotFound, "Could not find role: root@d", "d", []any{"grantRolesToUser", "joe", "roles", value.A("root")}},
		"nothing to update": {mongoerr.BadValue, "Must specify at least one field to update in updateUser", "d", []any{"updateUser", "joe"}},
		"no such user":      {mongoerr.UserNotFound, "User eve@d not found", "d", []any{"updateUser", "eve", "pwd", "x"}},
		"grant to nobody":   {mongoerr.UserNotFound, `Could not find user "eve" for db "d"`, "d", []any{"grantRolesToUser", "eve", "roles", value.A("read")}},
		"drop nobody":       {mongoerr.UserNotFound, "User 'eve@d' not found", "d", []any{"dropUser", "eve"}},
		"a built-in name":   {mongoerr.BadValue, "Cannot create roles with the same name as a built-in role", "d", []any{"createRole", "read", "privileges", noRoles, "roles", noRoles}},
		"role exists":       {51002, `Role "clerk@d" already exists`, "d", []any{"createRole", "clerk", "privileges", noRoles, "roles", noRoles}},
		"built-in role":     {mongoerr.BadValue, "read@d is a built-in role and cannot be modified", "d", []any{"dropRole", "read"}},
		"no such role":      {mongoerr.RoleNotFound, "Could not find role: nope@d", "d", []any{"dropRole", "nope"}},
		"itself":            {mongoerr.InvalidRoleModification, "Cannot grant role clerk@d to itself.", "d", []any{"grantRolesToRole", "clerk", "roles", value.A("clerk")}},
		"a cycle":           {mongoerr.InvalidRoleModification, "Granting roles to clerk@d would introduce a cycle in the role graph", "d", []any{"grantRolesToRole", "clerk", "roles", value.A("chief")}},
		"another database":  {mongoerr.InvalidRoleModification, "Roles on the 'd' database cannot be granted roles from other databases", "d", []any{"grantRolesToRole", "clerk", "roles", value.A(value.D("role", "read", "db", "e"))}},
		"many users":        {mongoerr.BadValue, "Privilege or restriction details require exact-match usersInfo queries", "d", []any{"usersInfo", 1, "showPrivileges", true}},
		"restrictions":      {mongoerr.CommandNotSupported, "option 'authenticationRestrictions' of createUser is not supported", "d", []any{"createUser", "u", "pwd", "x", "roles", noRoles, "authenticationRestrictions", value.A(value.D())}},
	}
	f := newFixture(t)
	f.run("d", "createUser", "joe", "pwd", "x", "roles", noRoles)
	f.run("d", "createRole", "clerk", "privileges", noRoles, "roles", noRoles)
	f.run("d", "createRole", "chief", "privileges", noRoles, "roles", value.A("clerk"))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := f.failure(tc.code, tc.db, tc.cmd...)
			assert.Equal(t, tc.message, e.Message)
		})
	}
}

// A role and the user who has it, from their creation to their end.
func TestLifeOfAUser(t *testing.T) {
	f := newFixture(t)
	find := value.D("resource", value.D("db", "d", "collection", "c"), "actions", value.A("find"))
	f.run("d", "createRole", "reader", "privileges", []bson.Raw{find}, "roles", value.A())
	f.run("d", "createUser", "joe", "pwd", "x", "roles", value.A("reader"), "customData", value.D("n", 1))
	user := func() bson.Raw {
		users := f.run("d", "usersInfo", "joe", "showPrivileges", true).Lookup("users").Array()
		v, err := users.IndexErr(0)
		require.NoError(t, err)
		return v.Document()
	}
	assert.Equal(t, "d.joe", user().Lookup("_id").StringValue())
	assert.JSONEq(t, `[{"role": "reader", "db": "d"}]`, relaxed(t, user().Lookup("roles")))
	assert.JSONEq(t, `[{"resource": {"db": "d", "collection": "c"}, "actions": ["find"]}]`, relaxed(t, user().Lookup("inheritedPrivileges")))
	assert.JSONEq(t, `["SCRAM-SHA-1", "SCRAM-SHA-256"]`, relaxed(t, user().Lookup("mechanisms")))
	assert.Zero(t, user().Lookup("credentials").Type)

	more := value.D("resource", value.D("db", "d", "collection", "c"), "actions", value.A("insert", "find"))
	f.run("d", "grantPrivilegesToRole", "reader", "privileges", []bson.Raw{more})
	f.run("d", "revokePrivilegesFromRole", "reader", "privileges", []bson.Raw{find})
	assert.JSONEq(t, `[{"resource": {"db": "d", "collection": "c"}, "actions": ["insert"]}]`, relaxed(t, user().Lookup("inheritedPrivileges")))
	f.run("d", "grantRolesToUser", "joe", "roles", value.A("read", value.D("role", "read", "db", "e")))
	f.run("d", "revokeRolesFromUser", "joe", "roles", value.A("read"))
	assert.JSONEq(t, `[{"role": "reader", "db": "d"}, {"role": "read", "db": "e"}]`, relaxed(t, user().Lookup("roles")))

	f.run("d", "dropRole", "reader")
	assert.JSONEq(t, `[{"role": "read", "db": "e"}]`, relaxed(t, user().Lookup("roles")))
	f.run("d", "updateUser", "joe", "roles", value.A(), "mechanisms", value.A("SCRAM-SHA-1"))
	assert.JSONEq(t, `["SCRAM-SHA-1"]`, relaxed(t, user().Lookup("mechanisms")))
	assert.Equal(t, []string{"d.joe"}, stringIDs(f.run("admin", "find", "system.users")))
	f.run("d", "dropUser", "joe")
	assert.Empty(t, stringIDs(f.run("admin", "find", "system.users")))
}

func stringIDs(reply bson.Raw) []string {
	out := []string{}
	for _, v := range value.Elements(bson.Raw(reply.Lookup("cursor", "firstBatch").Array())) {
		out = append(out, v.Document().Lookup("_id").StringValue())
	}
	return out
}

// rolesInfo tells what built-in roles are made of.
func TestRolesInfo(t *testing.T) {
	f := newFixture(t)
	reply := f.run("d", "rolesInfo", "dbOwner", "showPrivileges", true)
	role := reply.Lookup("roles", "0").Document()
	assert.True(t, role.Lookup("isBuiltin").Boolean())
	assert.JSONEq(t, `[{"role": "readWrite", "db": "d"}, {"role": "dbAdmin", "db": "d"}, {"role": "userAdmin", "db": "d"}]`, relaxed(t, role.Lookup("roles")))
	assert.JSONEq(t, `[]`, relaxed(t, role.Lookup("privileges")))
	assert.NotEqual(t, "[]", relaxed(t, role.Lookup("inheritedPrivileges")))
	assert.JSONEq(t, `[]`, relaxed(t, f.run("d", "rolesInfo", "root").Lookup("roles")))
}

// connectionStatus follows roles into those they inherit.
func TestConnectionStatusShowsInheritedRoles(t *testing.T) {
	f := newFixture(t).as(&command.Client{ID: 2, User: "d.joe", Roles: []command.Role{{Role: "dbOwner", DB: "d"}}})
	info := f.run("admin", "connectionStatus", 1, "showPrivileges", true).Lookup("authInfo").Document()
	assert.JSONEq(t, `[{"user": "joe", "db": "d"}]`, relaxed(t, info.Lookup("authenticatedUsers")))
	assert.Contains(t, relaxed(t, info.Lookup("authenticatedUserRoles")), `"userAdmin"`)
	assert.Contains(t, relaxed(t, info.Lookup("authenticatedUserPrivileges")), `"dropDatabase"`)
}
