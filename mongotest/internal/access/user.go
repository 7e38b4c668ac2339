package access

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// External is the database of the users that prove who they are elsewhere: by
// a certificate.
const External = "$external"

// A User is a login: who it is, how it proves that, and what it may do.
type User struct {
	DB, Name    string
	ID          value.UUID
	Roles       []command.Role
	Credentials Credentials
	CustomData  bson.Raw // nil if it has none
}

// NewUser returns a user who logs in with a password, or by a certificate if
// its database is External. It fails on a password that is not valid SASLprep.
func NewUser(db, name, password string, roles []command.Role) (User, error) {
	u := User{DB: db, Name: name, ID: value.NewUUID(), Roles: roles, Credentials: Credentials{External: true}}
	if db == External {
		return u, nil
	}
	if db == "" || name == "" {
		return u, fmt.Errorf("user %q of database %q: both names are needed", name, db)
	}
	var err error
	u.Credentials, err = NewCredentials(name, password, false, Mechanisms())
	return u, err
}

// UserID returns the _id of a user in admin.system.users.
func UserID(db, name string) string { return db + "." + name }

// BSON returns the user as a document of admin.system.users.
func (u User) BSON() bson.Raw {
	pairs := []any{"_id", UserID(u.DB, u.Name), "userId", u.ID, "user", u.Name, "db", u.DB, "credentials", u.Credentials.BSON()}
	if u.CustomData != nil {
		pairs = append(pairs, "customData", u.CustomData)
	}
	return value.D(append(pairs, "roles", RolesBSON(u.Roles))...)
}

// ParseUser reads a document of admin.system.users.
func ParseUser(doc bson.Raw) User {
	u := User{Roles: rolesIn(doc)}
	u.Name, _ = doc.Lookup("user").StringValueOK()
	u.DB, _ = doc.Lookup("db").StringValueOK()
	u.ID, _ = value.ParseUUID(doc.Lookup("userId"))
	u.CustomData, _ = doc.Lookup("customData").DocumentOK()
	if c, ok := doc.Lookup("credentials").DocumentOK(); ok {
		u.Credentials = parseCredentials(c)
	}
	return u
}
