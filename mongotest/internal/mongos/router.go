package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A Router is one mongos. It implements command.Handler.
type Router struct {
	cfg       Config
	catalog   *Catalog
	processID bson.ObjectID
	started   time.Time
	cursors   *cursorTable
	sessions  *sessionTable
}

// Handle implements command.Handler.
func (r *Router) Handle(ctx context.Context, req *command.Request) (*command.Response, error) {
	return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", req.Name)
}

// Run closes idle cursors and tells the catalog that this mongos lives, until
// ctx ends.
func (r *Router) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
