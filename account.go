package shardferry

import (
	"cmp"
	"strings"
)

// An Account names a user or a role of a cluster. Nothing secret is in it.
type Account struct {
	ID   string `bson:"id"`             // database.name, as admin.system.users and admin.system.roles have it
	Role bool   `bson:"role,omitempty"` // a role, not a user
}

// Split returns the database of an account and its name there.
func (a Account) Split() (db, name string) {
	db, name, _ = strings.Cut(a.ID, ".")
	return db, name
}

func (a Account) String() string {
	db, name := a.Split()
	if a.Role {
		return "role " + name + "@" + db
	}
	return "user " + name + "@" + db
}

// Compare orders accounts: users before roles, each by ID.
func (a Account) Compare(b Account) int {
	switch {
	case a.Role == b.Role:
		return cmp.Compare(a.ID, b.ID)
	case b.Role:
		return -1
	}
	return 1
}
