package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runWriteCatalog carries out inserts, updates and deletes on the config database
// all together or not at all, as the server's config servers do in a transaction:
// a restart must not find half a change of the sharding catalog.
func runWriteCatalog(ctx context.Context, op *operation) (bson.Raw, error) {
	commands, err := op.req.Docs("commands")
	if err != nil {
		return nil, err
	}
	return value.D(), op.write(ctx, "config.", func(tx *storage.Tx) error {
		for _, cmd := range commands {
			if err := op.writeInto(ctx, tx, cmd); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeInto carries out a write command inside tx.
func (op *operation) writeInto(ctx context.Context, tx *storage.Tx, cmd bson.Raw) error {
	first, err := cmd.IndexErr(0)
	if err != nil {
		return mongoerr.New(mongoerr.FailedToParse, "a command is empty")
	}
	run := map[string]func(context.Context, *operation) (bson.Raw, error){"insert": runInsert, "update": runUpdate, "delete": runDelete}[first.Key()]
	if run == nil {
		return mongoerr.New(mongoerr.CommandNotSupported, "%s is no write to the catalog", first.Key())
	}
	inner := *op
	inner.within = tx
	inner.req = &command.Request{Name: first.Key(), DB: "config", Client: op.req.Client, Routed: op.req.Routed, Body: cmd}
	body, err := run(ctx, &inner)
	if err != nil {
		return err
	}
	if hasWriteErrors(body) {
		e := body.Lookup("writeErrors", "0")
		code, _ := value.AsInt64(e.Document().Lookup("code"))
		return mongoerr.New(mongoerr.Code(code), "%s: %s", cmd, e)
	}
	return nil
}
