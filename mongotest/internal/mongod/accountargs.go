package mongod

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// require fails unless the fields are there.
func (a *args) require(fields ...string) {
	for _, f := range fields {
		if !a.has(f) {
			a.fail(mongoerr.IDLFailedToParse, "BSON field '%s.%s' is missing but a required field", a.name, f)
		}
	}
}

// refuseRestrictions fails if a user or role may be used from some addresses
// only: that is not supported.
func (a *args) refuseRestrictions() {
	if len(a.values("authenticationRestrictions")) > 0 {
		a.fail(mongoerr.CommandNotSupported, "option 'authenticationRestrictions' of %s is not supported", a.name)
	}
}

// rolesArg reads the field roles: each a name in the command's database, or
// {role, db}.
func (op *operation) rolesArg(a *args) []command.Role {
	for _, v := range a.values("roles") {
		d, isDoc := v.DocumentOK()
		if _, isName := v.StringValueOK(); !isName && !isDoc {
			a.fail(mongoerr.BadValue, "Role names must be either strings or objects")
		}
		for _, f := range []string{"role", "db"} {
			if s, _ := d.Lookup(f).StringValueOK(); isDoc && s == "" {
				a.fail(mongoerr.IDLFailedToParse, "BSON field 'RoleName.%s' is missing but a required field", f)
			}
		}
	}
	return access.NamedRoles(a.lookup("roles"), op.req.DB)
}

// rolesExist fails with the first of the roles that is not there.
func rolesExist(tx *storage.Tx, roles []command.Role) error {
	finder := roleFinder(tx)
	for _, r := range roles {
		if _, ok := finder.Find(r); !ok {
			return mongoerr.New(mongoerr.RoleNotFound, "Could not find role: %s@%s", r.Role, r.DB)
		}
	}
	return nil
}

// roleFinder looks up created roles in tx.
func roleFinder(tx *storage.Tx) access.RoleFinder {
	return func(name command.Role) (access.Role, bool) {
		rec, ok := accountIn(tx, rolesNS, roleID(name))
		return access.ParseRole(rec.Doc), ok
	}
}

func roleID(r command.Role) string { return r.DB + "." + r.Role }

// mechanismsArg reads the field mechanisms, all of them if it is missing.
func mechanismsArg(a *args) []string {
	if !a.has("mechanisms") {
		return access.Mechanisms()
	}
	var out []string
	for _, v := range a.values("mechanisms") {
		m, _ := v.StringValueOK()
		if !slices.Contains(access.Mechanisms(), m) {
			a.fail(mongoerr.BadValue, "Unknown auth mechanism '%s'", m)
		}
		out = append(out, m)
	}
	if len(out) == 0 {
		a.fail(mongoerr.BadValue, "mechanisms field must not be empty")
	}
	return out
}

// credentialsArg derives the credentials of a password.
func credentialsArg(a *args, name string, external bool) access.Credentials {
	if external {
		return access.Credentials{External: true}
	}
	password, mechanisms := a.string("pwd"), mechanismsArg(a)
	digested := !a.bool("digestPassword", true)
	switch {
	case password == "":
		a.fail(emptyPassword, "Password cannot be empty")
	case digested && !a.has("mechanisms"):
		mechanisms = []string{access.SCRAM1}
	case digested && slices.Contains(mechanisms, access.SCRAM256):
		a.fail(mongoerr.BadValue, "Use of SCRAM-SHA-256 requires undigested passwords")
	}
	if a.err != nil {
		return access.Credentials{}
	}
	c, err := access.NewCredentials(name, password, digested, mechanisms)
	if err != nil {
		a.fail(mongoerr.BadValue, "Error preflighting UTF-8 conversion: %v", err)
	}
	return c
}
