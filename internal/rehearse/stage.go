package rehearse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// The users of every simulated cluster. The operator may write past a write
// block, an application may not.
const (
	OperatorName = "shardferry"
	AppName      = "app"
	Password     = "rehearsal"
)

// Users returns the users of a simulated cluster.
func Users() []mongotest.User {
	return []mongotest.User{
		{Name: OperatorName, Password: Password, DB: "admin", Roles: []mongotest.Role{{Role: "root", DB: "admin"}}},
		{Name: AppName, Password: Password, DB: "admin", Roles: []mongotest.Role{{Role: "readWriteAnyDatabase", DB: "admin"}}},
	}
}

// A Stage is two simulated clusters between which something is rehearsed.
type Stage struct {
	Source      *mongotest.Cluster
	Destination *mongotest.Cluster

	listens bool // on ports of this machine
}

// StageOptions say what two clusters NewStage makes.
type StageOptions struct {
	SourceShards      int // 0: a plain replica set
	DestinationShards int
	Members           int           // of each replica set; 0: 1
	ElectionTimeout   time.Duration // of sets of several members
	OplogEntries      int           // bounds each oplog; 0: nothing does
	// SourcePort and DestinationPort are the first of the ports on this machine on
	// which other processes reach the clusters: one for each shard, the config server
	// and the router. 0: none does.
	SourcePort, DestinationPort int
	Logger                      *slog.Logger // nil: none
}

// NewStage makes two clusters. They do not run yet.
func NewStage(o StageOptions) (*Stage, error) {
	one := func(name string, shards, port int) (*mongotest.Cluster, error) {
		listen := ""
		if port > 0 {
			listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		}
		return mongotest.New(mongotest.Options{
			Name: name, Listen: listen, Shards: shards, Members: o.Members, ElectionTimeout: o.ElectionTimeout, OplogEntries: o.OplogEntries, Users: Users(), Logger: o.Logger,
		})
	}
	src, err := one("source", o.SourceShards, o.SourcePort)
	if err != nil {
		return nil, err
	}
	dst, err := one("destination", o.DestinationShards, o.DestinationPort)
	if err != nil {
		return nil, err
	}
	return &Stage{Source: src, Destination: dst, listens: o.SourcePort > 0}, nil
}

// Run runs both clusters until ctx ends.
func (s *Stage) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Source.Run(ctx) })
	g.Go(func() error { return s.Destination.Run(ctx) })
	if s.listens {
		g.Go(func() error { return s.Source.ListenAndServe(ctx) })
		g.Go(func() error { return s.Destination.ListenAndServe(ctx) })
	}
	return g.Wait()
}

// Play runs both clusters for as long as a story takes, and returns its error.
func (s *Stage) Play(ctx context.Context, story func(context.Context) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(gctx) })
	g.Go(func() error {
		if err := s.WaitReady(gctx); err != nil {
			return err
		}
		if err := story(gctx); err != nil {
			return err
		}
		return errFinished
	})
	if err := g.Wait(); !errors.Is(err, errFinished) {
		return err
	}
	return nil
}

// WaitReady waits until both clusters take connections.
func (s *Stage) WaitReady(ctx context.Context) error {
	for _, c := range []*mongotest.Cluster{s.Source, s.Destination} {
		select {
		case <-c.Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Operator returns how the node reaches a cluster of the stage.
func Operator(c *mongotest.Cluster) mongoconn.Config {
	return mongoconn.Config{URI: OperatorURI(c), Dialer: c.Dialer()}
}

// OperatorURI returns the URI of a cluster for a user who may write past a
// write block.
func OperatorURI(c *mongotest.Cluster) string { return withUser(c.URI(), OperatorName) }

// App returns a client of an application, which a write block stops.
func App(c *mongotest.Cluster) (*mongo.Client, error) {
	client, err := mongo.Connect(c.ClientOptions().SetAuth(options.Credential{Username: AppName, Password: Password, AuthSource: "admin"}))
	if err != nil {
		return nil, fmt.Errorf("connect an application: %w", err)
	}
	return client, nil
}
