package mongoconn

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// SetWriteBlock blocks or admits the writes of all users of a cluster who do
// not hold bypassWriteBlockingMode. It may be repeated. When it returns, no
// write that was admitted before is still running (server:
// README_user_write_blocking.md). The driver sends what is left until the deadline
// of ctx as maxTimeMS, so that the server gives up with the caller.
func SetWriteBlock(ctx context.Context, client *mongo.Client, blocked bool) error {
	err := client.Database("admin").RunCommand(ctx, bson.D{
		{"setUserWriteBlockMode", 1},
		{"global", blocked},
	}).Err()
	if err != nil {
		return fmt.Errorf("set user write block mode to %v: %w", blocked, err)
	}
	return nil
}

// WriteBlocked reports whether a cluster's user writes are blocked. Routers do not
// tell: then known is false (server: serverStatus, repl.userWriteBlockMode). at is
// a cluster time of the cluster when it was asked.
func WriteBlocked(ctx context.Context, client *mongo.Client) (blocked, known bool, at bson.Timestamp, err error) {
	const enabled = 2
	reply, err := client.Database("admin").RunCommand(ctx, bson.D{{"serverStatus", 1}, {"repl", 1}}).Raw()
	if err != nil {
		return false, false, at, fmt.Errorf("read the user write block mode: %w", err)
	}
	mode, ok := reply.Lookup("repl", "userWriteBlockMode").AsInt64OK()
	return mode == enabled, ok && mode != 0, OperationTime(reply), nil
}

// CanBypassWriteBlock reports whether the client's user may write to a cluster
// whose user writes are blocked. Without a logged-in user nobody may.
func CanBypassWriteBlock(ctx context.Context, client *mongo.Client) (bool, error) {
	var status struct {
		AuthInfo struct {
			Privileges []struct {
				Actions []string `bson:"actions"`
			} `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	err := client.Database("admin").RunCommand(ctx, bson.D{{"connectionStatus", 1}, {"showPrivileges", true}}).Decode(&status)
	if err != nil {
		return false, fmt.Errorf("read the privileges of the connection: %w", err)
	}
	for _, p := range status.AuthInfo.Privileges {
		for _, a := range p.Actions {
			if a == "bypassWriteBlockingMode" || a == "anyAction" {
				return true, nil
			}
		}
	}
	return false, nil
}
