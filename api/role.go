package api

import (
	"fmt"
	"slices"
	"strings"
)

// A Role says what a token is good for. Each role may do what those before it may.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // asks: progress, verify, audit
	RoleOperator Role = "operator" // steers a sync: start, pause, resume, commit, reverse, rollback
	RoleAdmin    Role = "admin"    // says who may do so, and which nodes take part
)

var roles = []Role{RoleViewer, RoleOperator, RoleAdmin}

// ParseRole returns the role of that name.
func ParseRole(name string) (Role, error) {
	if r := Role(name); slices.Contains(roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("want viewer, operator or admin")
}

// Includes reports whether a role may do what needs the other one.
func (r Role) Includes(needed Role) bool {
	has := slices.Index(roles, r)
	return has >= 0 && has >= slices.Index(roles, needed)
}

// maxName is how long the name of a token may be, in bytes.
const maxName = 64

// checkName returns what is wrong with the name of a token. It comes into logs
// and into the audit log.
func checkName(name string) error {
	const signs = "._@-"
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(signs, r)
	}
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) {
		return fmt.Errorf("want 1 to %d letters, digits and %s", maxName, signs)
	}
	return nil
}
