package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/rehearse"
	"github.com/shardferry/shardferry/mongotest"
)

func sandboxCommand() *cli.Command {
	return &cli.Command{
		Name:  "sandbox",
		Usage: "serve a simulated MongoDB cluster on this machine, to rehearse a move",
		UsageText: `shardferry sandbox --shards 3 --port 27017
   shardferry sandbox --replica-set --port 27100

   Routers come first, then each shard's members and the config server's, on the
   ports that follow. Data is in memory and gone when it stops, or with --db-path
   in a directory: it may then be larger than memory, and the next start with the
   same directory and shape goes on where this one ended, even if it was killed.

   With TLS, createUser on the database $external lets the owner of a certificate
   log in (MONGODB-X509).`,
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "shards", Usage: "number of shards", Value: 2},
			&cli.IntFlag{Name: "mongos", Usage: "number of routers", Value: 1},
			&cli.IntFlag{Name: "members", Usage: "number of members of each replica set", Value: 1},
			&cli.BoolFlag{Name: "replica-set", Usage: "serve one plain replica set instead of a sharded cluster"},
			&cli.StringFlag{Name: "host", Usage: "address to listen on", Value: "127.0.0.1"},
			&cli.IntFlag{Name: "port", Usage: "first port", Value: 27017},
			&cli.StringFlag{Name: "name", Usage: "name of the cluster", Value: "sandbox"},
			&cli.StringFlag{Name: "server-version", Usage: "server version to simulate: 6.0, 7.0 or 8.0, or a release of these", Value: "8.0.4"},
			&cli.StringFlag{Name: "db-path", Usage: "keep the data in this `DIR`; default: in memory"},
			&cli.IntFlag{Name: "oplog-entries", Usage: "entries of each oplog before it rolls over; 0: no bound"},
			&cli.BoolFlag{Name: "auth", Usage: "refuse what a client has not logged in for, or what its roles do not allow"},
			jsonFlag(),
		}, tlsFlags()...),
		Action: func(c *cli.Context) error {
			opts, err := sandboxOptions(c)
			if err != nil {
				return err
			}
			return serveSandbox(c, opts)
		},
	}
}

func sandboxOptions(c *cli.Context) (mongotest.Options, error) {
	o := mongotest.Options{
		Name: c.String("name"), Shards: c.Int("shards"), Mongos: c.Int("mongos"), Members: c.Int("members"), Version: c.String("server-version"),
		OplogEntries: c.Int("oplog-entries"), Users: rehearse.Users(), RequireAuth: c.Bool("auth"), FaultCommands: true,
		Listen: net.JoinHostPort(c.String("host"), strconv.Itoa(c.Int("port"))), DBPath: c.String("db-path"),
	}
	if c.IsSet("db-path") && o.DBPath == "" {
		return o, usage("--db-path: want the name of a directory")
	}
	var err error
	if o.TLS, err = tlsConfig(c); err != nil {
		return o, err
	}
	if p := c.Int("port"); p < 1 || p > 65000 {
		return o, usage("--port %d: want 1 to 65000", p)
	}
	if o.Members < 1 || o.Members > 7 {
		return o, usage("--members %d: want 1 to 7", o.Members)
	}
	if v := o.Version + "."; !strings.HasPrefix(v, "6.0.") && !strings.HasPrefix(v, "7.0.") && !strings.HasPrefix(v, "8.0.") {
		return o, usage("--server-version %s: want 6.0, 7.0 or 8.0, or a release of these", o.Version)
	}
	if c.Bool("replica-set") {
		if c.IsSet("shards") {
			return o, usage("--replica-set and --shards: give only one of them")
		}
		o.Shards, o.Mongos = 0, 0
		return o, nil
	}
	if o.Shards < 1 || o.Shards > 100 {
		return o, usage("--shards %d: want 1 to 100", o.Shards)
	}
	if o.Mongos < 1 || o.Mongos > 10 {
		return o, usage("--mongos %d: want 1 to 10", o.Mongos)
	}
	return o, nil
}

func serveSandbox(c *cli.Context, opts mongotest.Options) error {
	log, err := newLogger(os.Stderr, "warn", false)
	if err != nil {
		return err
	}
	opts.Logger = log
	cluster, err := mongotest.New(opts)
	if err != nil {
		return usage("%w", err)
	}
	g, ctx := errgroup.WithContext(c.Context)
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
		return announce(c, cluster)
	})
	err = g.Wait()
	if errors.Is(context.Cause(c.Context), errInterrupted) {
		return nil
	}
	return err
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

// A member is a shard's process or the config server's, which can be reached
// besides the ones for applications.
type member struct {
	ID  string `json:"id"`
	URI string `json:"uri"`
}

func announce(c *cli.Context, cluster *mongotest.Cluster) error {
	operator := rehearse.OperatorURI(cluster)
	what := "a replica set of one member"
	if n := c.Int("members"); n > 1 {
		what = fmt.Sprintf("a replica set of %d members", n)
	}
	var members []member
	var lines strings.Builder
	if shards := cluster.Shards(); c.Bool("replica-set") {
		members = []member{{shards[0], cluster.URI()}}
	} else {
		what = fmt.Sprintf("%d shards", len(shards))
		if len(shards) == 1 {
			what = "1 shard"
		}
		for _, id := range append(shards, "config") {
			uri, err := cluster.ShardURI(id)
			if err != nil {
				return err
			}
			members = append(members, member{id, uri})
			fmt.Fprintf(&lines, "\n%-18s %s", id+" itself:", uri)
		}
	}
	return printResult(c, map[string]any{
		"event": "ready", "uri": cluster.URI(), "operatorUri": operator, "shards": cluster.Shards(), "members": members,
	}, `serving %s; stop with Ctrl-C
for applications:  %s
for shardferry:    %s
(the second one may write past a write block, which a rollback needs; another user is %s with the same password)%s`,
		what, cluster.URI(), operator, rehearse.AppName, lines.String())
}
