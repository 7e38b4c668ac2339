package mongoconn

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/description"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
)

// A Closer makes a cluster refuse what others may yet send in sessions of theirs. It
// has a connection of its own, because the driver sends nothing in a session that
// it did not begin itself.
type Closer struct {
	topology *topology.Topology
	server   driver.Server
}

// NewCloser reaches a cluster. Call Disconnect in the end.
func NewCloser(ctx context.Context, cfg Config) (*Closer, error) {
	opts, err := cfg.clientOptions()
	if err != nil {
		return nil, err
	}
	tc, err := topology.NewConfig(opts, nil)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", Redact(cfg.URI), withoutSecret(cfg.URI, err))
	}
	t, err := topology.New(tc)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", Redact(cfg.URI), withoutSecret(cfg.URI, err))
	}
	if err := t.Connect(); err != nil {
		return nil, fmt.Errorf("reach %s: %w", Redact(cfg.URI), withoutSecret(cfg.URI, err))
	}
	// A transaction stays with one router.
	server, err := t.SelectServer(ctx, writable{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach %s: %w", Redact(cfg.URI), withoutSecret(cfg.URI, err)), t.Disconnect(ctx))
	}
	return &Closer{topology: t, server: server}, nil
}

// Disconnect ends the connections.
func (c *Closer) Disconnect(ctx context.Context) error { return c.topology.Disconnect(ctx) }

// atATime is how many sessions are closed beside each other.
const atATime = 4

// Close makes the cluster refuse every write that is sent in one of the sessions,
// now or later, with a number below number, and returns when none of them is
// running any more. The sessions are those of the user that the closer logs in as.
// Reach are namespaces such that each shard is asked for one of them; they
// need not exist.
//
// It begins a transaction with that number: a server refuses older numbers of a
// session as TransactionTooOld, and begins nothing in a session before what runs in
// it has ended (server: transaction_participant.cpp, beginOrContinue). A server
// forgets this when it stops being primary; what is refused has then been on
// its way for that long.
func (c *Closer) Close(ctx context.Context, ids []bson.Raw, number int64, reach []shardferry.Namespace) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atATime)
	for _, id := range ids {
		g.Go(func() error {
			if err := c.close(ctx, id, number, reach); err != nil {
				return fmt.Errorf("close a session: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (c *Closer) close(ctx context.Context, id bson.Raw, number int64, reach []shardferry.Namespace) error {
	in := bson.D{{"lsid", id}, {"txnNumber", number}, {"autocommit", false}}
	begin := bson.D{{"startTransaction", true}}
	for _, ns := range reach {
		cmd := append(bson.D{{"find", ns.Coll}, {"projection", bson.D{{"_id", 1}}}, {"limit", 1}, {"singleBatch", true}}, in...)
		err := c.run(ctx, ns.DB, append(cmd, begin...))
		if IsCode(err, CodeTransactionTooOld) {
			return nil // closed by a later one
		}
		if err != nil {
			return err
		}
		begin = nil
	}
	err := c.run(ctx, "admin", append(bson.D{{"abortTransaction", 1}}, in...))
	if IsCode(err, CodeTransactionTooOld, CodeNoSuchTransaction) {
		return nil
	}
	return err
}

func (c *Closer) run(ctx context.Context, db string, cmd bson.D) error {
	doc, err := bson.Marshal(cmd)
	if err != nil {
		return fmt.Errorf("encode %s: %w", cmd[0].Key, err)
	}
	elements, err := bson.Raw(doc).Elements()
	if err != nil {
		return fmt.Errorf("encode %s: %w", cmd[0].Key, err)
	}
	err = driver.Operation{
		CommandFn: func(dst []byte, _ description.SelectedServer) ([]byte, error) {
			for _, e := range elements {
				dst = append(dst, e...)
			}
			return dst, nil
		},
		ProcessResponseFn: func(context.Context, bsoncore.Document, driver.ResponseInfo) error { return nil },
		Database:          db,
		Deployment:        driver.SingleServerDeployment{Server: c.server},
	}.Execute(ctx)
	var failed driver.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", cmd[0].Key, mongo.CommandError{Code: failed.Code, Message: failed.Message, Labels: failed.Labels, Name: failed.Name, Wrapped: err})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmd[0].Key, err)
	}
	return nil
}

// writable selects primaries and routers.
type writable struct{}

// SelectServer implements description.ServerSelector.
func (writable) SelectServer(_ description.Topology, all []description.Server) ([]description.Server, error) {
	var out []description.Server
	for _, s := range all {
		if s.Kind == description.ServerKindRSPrimary || s.Kind == description.ServerKindMongos || s.Kind == description.ServerKindLoadBalancer {
			out = append(out, s)
		}
	}
	return out, nil
}
