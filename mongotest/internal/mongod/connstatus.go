package mongod

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runConnectionStatus is connectionStatus: {showPrivileges}.
func runConnectionStatus(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	showPrivileges := a.bool("showPrivileges", false)
	if a.err != nil {
		return nil, a.err
	}
	c := op.req.Client
	users, roles := []bson.Raw{}, []bson.Raw{}
	var privileges access.Privileges
	if c.User != "" {
		db, name, _ := strings.Cut(c.User, ".")
		users = append(users, value.D("user", name, "db", db))
	}
	err := op.view(func(tx *storage.Tx) error {
		all, ps := roleFinder(tx).Expand(c.Roles)
		roles, privileges = access.RolesBSON(all), ps
		return nil
	})
	if err != nil {
		return nil, err
	}
	info := []any{"authenticatedUsers", users, "authenticatedUserRoles", roles}
	if showPrivileges {
		info = append(info, "authenticatedUserPrivileges", privileges.BSON())
	}
	return value.D("authInfo", value.D(info...)), nil
}
