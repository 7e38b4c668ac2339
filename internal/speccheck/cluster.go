package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest"
)

// errDone ends a cluster whose work is done.
var errDone = errors.New("done")

// withCluster calls f with the address of a simulated cluster that lives until
// f returns.
func withCluster(ctx context.Context, r run, port int, f func(ctx context.Context, uri string) error) error {
	o := mongotest.Options{
		Name: "spec", Version: r.version, Listen: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		// A merged change stream waits for the no-op of an idle shard.
		NoopInterval: time.Second,
	}
	if r.topology == sharded {
		o.Shards, o.Mongos = 2, 2
	} else {
		o.Members = 3 // some cases read from secondaries
	}
	cluster, err := mongotest.New(o)
	if err != nil {
		return err
	}
	var result error
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return cluster.Run(ctx) })
	g.Go(func() error {
		select {
		case <-cluster.Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return cluster.ListenAndServe(ctx)
	})
	g.Go(func() error {
		if err := answers(ctx, cluster.Addrs()); err != nil {
			return err
		}
		result = f(ctx, cluster.URI())
		return errDone
	})
	if err := g.Wait(); !errors.Is(err, errDone) {
		return fmt.Errorf("simulated cluster: %w", err)
	}
	return result
}

// answers waits until every process of the cluster takes connections.
func answers(ctx context.Context, addrs []string) error {
	for _, addr := range addrs {
		for {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err == nil {
				if err := conn.Close(); err != nil {
					return err
				}
				break
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}
