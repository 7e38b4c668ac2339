package wire

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// Users is where the server looks up who may log in. It is called from any
// connection's goroutine.
type Users interface {
	// User returns the user of that name in that authentication database.
	User(db, name string) (User, bool)
}

// A User is a login with its SCRAM credentials.
type User struct {
	DB     string
	Name   string
	Roles  []command.Role
	sha1   scram.StoredCredentials
	sha256 scram.StoredCredentials
}

// scramIterations is the least that clients accept (RFC 7677); a server's
// default is higher, which here would only cost time.
const scramIterations = 4096

// NewUser derives the credentials of a user. It fails on a password that is
// not valid SASLprep.
func NewUser(db, name, password string, roles []command.Role) (User, error) {
	if db == "" || name == "" {
		return User{}, fmt.Errorf("user %q of database %q: both names are needed", name, db)
	}
	u := User{DB: db, Name: name, Roles: roles}
	// MongoDB's SCRAM-SHA-1 hashes this digest in place of the password.
	digest := md5.Sum([]byte(name + ":mongo:" + password))
	c1, err := scram.SHA1.NewClientUnprepped(name, hex.EncodeToString(digest[:]), "")
	if err != nil {
		return User{}, fmt.Errorf("user %s.%s: %w", db, name, err)
	}
	c256, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		return User{}, fmt.Errorf("user %s.%s: %w", db, name, err)
	}
	if u.sha1, err = c1.GetStoredCredentialsWithError(newFactors(16)); err != nil {
		return User{}, fmt.Errorf("user %s.%s: %w", db, name, err)
	}
	if u.sha256, err = c256.GetStoredCredentialsWithError(newFactors(28)); err != nil {
		return User{}, fmt.Errorf("user %s.%s: %w", db, name, err)
	}
	return u, nil
}

func newFactors(saltLen int) scram.KeyFactors {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails, by its contract
	return scram.KeyFactors{Salt: string(salt), Iters: scramIterations}
}

// bypassesWriteBlock reports whether roles grant bypassWriteBlockingMode.
func bypassesWriteBlock(roles []command.Role) bool {
	return slices.ContainsFunc(roles, func(r command.Role) bool {
		return r.DB == "admin" && (r.Role == "root" || r.Role == "restore" || r.Role == "__system")
	})
}

// A UserList is a fixed set of users.
type UserList []User

// User implements Users.
func (l UserList) User(db, name string) (User, bool) {
	for _, u := range l {
		if u.DB == db && u.Name == name {
			return u, true
		}
	}
	return User{}, false
}

// mechanismsOf returns the mechanisms "db.user" can log in with, none for an
// unknown user.
func mechanismsOf(users Users, full string) []string {
	db, name, ok := strings.Cut(full, ".")
	if !ok {
		return nil
	}
	if _, ok := users.User(db, name); !ok {
		return nil
	}
	return []string{"SCRAM-SHA-1", "SCRAM-SHA-256"}
}
