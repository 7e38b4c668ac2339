package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// An end is one of the two clusters.
type end struct {
	name   string // source or destination of the job
	client *mongo.Client
	info   *topology.Cluster // as it was identified at the start of this process
	hosts  string
	reach  mongoconn.Config
}

// ends are the two clusters of a job. Which of them data flows from depends on
// the leg.
type ends struct{ source, destination *end }

func (e *ends) from(leg *state.Leg) *end {
	if leg.Direction == state.Reverse {
		return e.destination
	}
	return e.source
}

func (e *ends) to(leg *state.Leg) *end {
	if leg.Direction == state.Reverse {
		return e.source
	}
	return e.destination
}

// routeOf returns the way of namespaces along the current leg. The selection was
// found valid before it was recorded.
func routeOf(s *state.Sync) (shardferry.Route, error) {
	if s.Leg.Direction == state.Reverse {
		return s.Job.Selection.Backward()
	}
	return s.Job.Selection.Forward()
}

// oppositeOf returns the way of namespaces against the current leg.
func oppositeOf(s *state.Sync) (shardferry.Route, error) {
	if s.Leg.Direction == state.Reverse {
		return s.Job.Selection.Forward()
	}
	return s.Job.Selection.Backward()
}

// connect reaches both clusters and learns what they are.
func connect(ctx context.Context, cfg Config) (*ends, error) {
	source, err := connectEnd(ctx, "source", cfg.Source, cfg.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	destination, err := connectEnd(ctx, "destination", cfg.Destination, cfg.ConnectTimeout)
	if err != nil {
		return nil, errors.Join(err, source.close(ctx))
	}
	return &ends{source: source, destination: destination}, nil
}

func connectEnd(ctx context.Context, name string, cfg mongoconn.Config, wait time.Duration) (*end, error) {
	client, err := mongoconn.Connect(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	e := &end{name: name, client: client, hosts: mongoconn.Hosts(cfg.URI), reach: cfg}
	if err := mongoconn.Ping(ctx, client, wait); err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s cannot be reached: %w", name, mongoconn.Redact(cfg.URI), err), e.close(ctx))
	}
	if e.info, err = topology.Identify(ctx, client); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), e.close(ctx))
	}
	return e, nil
}

// disconnectTimeout bounds the farewell to a cluster: the driver wants to tell it
// which sessions are over, and waits for a server that may be gone.
const disconnectTimeout = 2 * time.Second

func (e *end) close(ctx context.Context) error {
	if err := mongoconn.Disconnect(ctx, e.client, disconnectTimeout); err != nil {
		return fmt.Errorf("disconnect from the %s: %w", e.name, err)
	}
	return nil
}

func (e *ends) close(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return e.source.close(ctx) })
	err := e.destination.close(ctx)
	return errors.Join(g.Wait(), err)
}
