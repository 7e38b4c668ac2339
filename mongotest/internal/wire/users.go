package wire

import (
	"strings"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// Users is where the server looks up who may log in and what they may do. It
// is called from any connection's goroutine.
type Users interface {
	// User returns the user of that name in that authentication database.
	User(db, name string) (access.User, bool)
	// Privileges returns what the roles allow.
	Privileges(roles []command.Role) access.Privileges
	// Version changes with every change of users or roles.
	Version() uint64
}

// nobody has no users.
type nobody struct{}

func (nobody) User(string, string) (access.User, bool)     { return access.User{}, false }
func (nobody) Privileges([]command.Role) access.Privileges { return nil }
func (nobody) Version() uint64                             { return 0 }

// mechanismsOf returns the mechanisms "db.user" can log in with, none for an
// unknown user.
func mechanismsOf(users Users, full string) []string {
	db, name, ok := strings.Cut(full, ".")
	if !ok {
		return nil
	}
	u, ok := users.User(db, name)
	if !ok || u.Credentials.External {
		return nil
	}
	return u.Credentials.Mechanisms()
}
