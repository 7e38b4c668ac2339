package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/release"
)

// A handler is one row of the command table.
type handler struct {
	run   func(ctx context.Context, op *operation) (bson.Raw, error)
	flags flags
}

// flags say how a command may be used.
type flags uint

const (
	isWrite   flags = 1 << iota // takes a write concern
	isRead                      // takes every read concern
	retryable                   // may have a txnNumber without a transaction
	txnOK                       // may run in a transaction
	endsTxn                     // commits or aborts a transaction
	always                      // runs on a node that is no primary
	awaits                      // its maxTimeMS is not a limit but a waiting time
)

func (h *handler) has(f flags) bool { return h.flags&f != 0 }

// commandTable returns the commands of a server version by name.
func commandTable(v release.Version) map[string]*handler {
	t := map[string]*handler{}
	for _, family := range []map[string]*handler{
		helloCommands(), crudCommands(), ddlCommands(), sessionCommands(), adminCommands(), diagnosticCommands(),
		accountCommands(), migrationCommands(), planningCommands(), housekeepingCommands(), shardCommands(),
	} {
		for name, h := range family {
			t[name] = h
		}
	}
	release.Commands(v, t)
	return t
}

func helloCommands() map[string]*handler {
	return map[string]*handler{
		"hello":    {runHello, always | awaits},
		"isMaster": {runHello, always | awaits},
		"ismaster": {runHello, always | awaits},
	}
}
