package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator"
)

func clusterCommand() *cli.Command {
	return &cli.Command{
		Name:      "cluster",
		Usage:     "say which nodes belong together, and look after them",
		UsageText: "shardferry cluster init\n   shardferry cluster members\n   shardferry cluster leave --node-id n3",
		Subcommands: []*cli.Command{
			clusterChange("init", "make this node, which must have an empty data directory, the first of a cluster", "shardferry cluster init --api-addr 127.0.0.1:27182"),
			clusterChange("join", "make this node a member of a cluster", "shardferry cluster join --address 10.0.0.1:27183",
				&cli.StringFlag{Name: "address", Usage: "`ADDR` (--raft-addr) of any member"},
				&cli.BoolFlag{Name: "no-vote", Usage: "do work, and do not count for a majority"}),
			clusterChange("leave", "remove a node from the cluster, also one that is lost", "shardferry cluster leave --node-id n3",
				&cli.StringFlag{Name: "node-id", Usage: "which one (default: the one that is asked)"}),
			clusterChange("transfer-leader", "let another node lead", "shardferry cluster transfer-leader --node-id n2",
				&cli.StringFlag{Name: "node-id", Usage: "which one (default: any other voter)"}),
			clusterMembers("members", "list the nodes"),
			clusterStatus(),
			snapshotCommand(),
		},
		Action: func(*cli.Context) error {
			return usage("cluster: say what to do: init, join, leave, members, status, transfer-leader or snapshot (see shardferry cluster --help)")
		},
	}
}

func clusterChange(name, what, example string, flags ...cli.Flag) *cli.Command {
	return &cli.Command{
		Name: name, Usage: what, UsageText: example, Flags: clientFlags(flags...),
		Action: func(c *cli.Context) error {
			if name == "join" && c.String("address") == "" {
				return usage("join: --address is missing: the --raft-addr of any member")
			}
			node, err := client(c)
			if err != nil {
				return err
			}
			req := api.ClusterRequest{NodeID: c.String("node-id"), Address: c.String("address"), NoVote: c.Bool("no-vote")}
			if err := node.ClusterCommand(c.Context, name, req); err != nil {
				return err
			}
			return printResult(c, accepted, "done; see shardferry cluster members")
		},
	}
}

func clusterMembers(name, what string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: what, UsageText: "shardferry cluster " + name + "\n   shardferry cluster " + name + " --json", Flags: clientFlags(),
		Action: func(c *cli.Context) error {
			_, err := showMembers(c)
			return err
		},
	}
}

func showMembers(c *cli.Context) ([]api.Node, error) {
	node, err := client(c)
	if err != nil {
		return nil, err
	}
	nodes, err := node.Cluster(c.Context)
	if err != nil {
		return nil, err
	}
	if c.Bool("json") {
		return nodes, printResult(c, api.ClusterResponse{Result: api.Result{Success: true}, Nodes: nodes}, "")
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NODE\tADDRESS\tVOTE\tROLE\tANSWERS") // the flush tells
	for _, n := range nodes {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.ID, n.Addr, word(n.Voter, "yes", "no"), word(n.Leader, "leader", "follower"), word(n.Alive != nil && *n.Alive, "yes", "no"))
	}
	return nodes, w.Flush()
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// clusterStatus ends with an error if the cluster could not lose another node.
func clusterStatus() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "list the nodes, and fail if the next one to be lost would stop the sync",
		UsageText: "shardferry cluster status && echo fine", Flags: clientFlags(),
		Action: func(c *cli.Context) error {
			nodes, err := showMembers(c)
			if err != nil {
				return err
			}
			return enough(nodes)
		},
	}
}

func enough(nodes []api.Node) error {
	voters, alive := 0, 0
	for _, n := range nodes {
		if n.Voter {
			voters++
			if n.Alive != nil && *n.Alive {
				alive++
			}
		}
	}
	if majority := voters/2 + 1; alive <= majority {
		return fmt.Errorf("%d of %d voters answer, and %d are needed: no further one may be lost", alive, voters, majority)
	}
	return nil
}

func snapshotCommand() *cli.Command {
	return &cli.Command{
		Name:      "snapshot",
		Usage:     "keep the state in a file, and begin again from it when a majority is lost for good",
		UsageText: "shardferry cluster snapshot save --file state.snapshot\n   shardferry cluster snapshot save --data-dir n1 --file state.snapshot\n   shardferry cluster snapshot restore --file state.snapshot --data-dir new --node-id n1 --raft-addr 10.0.0.1:27183",
		Subcommands: []*cli.Command{
			{
				Name: "save", Usage: "write the state of a running node, or of the data directory of one that does not run",
				UsageText: "shardferry cluster snapshot save --file state.snapshot\n   shardferry cluster snapshot save --data-dir n1 --file state.snapshot",
				Flags: clientFlags(
					&cli.StringFlag{Name: "file", Usage: "where to write it; it must not exist"},
					&cli.StringFlag{Name: "data-dir", Usage: "`DIR` of a node that does not run, instead of asking one"},
				),
				Action: saveSnapshot,
			},
			{
				Name: "restore", Usage: "make the data directory of the first node of a new cluster; no node of the old one may run any more",
				UsageText: "shardferry cluster snapshot restore --file state.snapshot --data-dir new --node-id n1 --raft-addr 10.0.0.1:27183",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "file", Usage: "the snapshot"},
					&cli.StringFlag{Name: "data-dir", Usage: "`DIR` to make; it must be empty or not exist"},
					&cli.StringFlag{Name: "node-id", Usage: "the `NAME` of the node"},
					&cli.StringFlag{Name: "raft-addr", Usage: "how other nodes reach it (--advertise-addr, or --raft-addr)", Value: defaultRaftAddr},
					jsonFlag(),
				},
				Action: restoreSnapshot,
			},
		},
		Action: func(*cli.Context) error { return usage("snapshot: say what to do: save or restore") },
	}
}

func saveSnapshot(c *cli.Context) (err error) {
	if c.String("file") == "" {
		return usage("save: --file is missing: where to write the snapshot")
	}
	save := func(to io.Writer) error { return coordinator.Save(c.Context, c.String("data-dir"), to) }
	if c.String("data-dir") == "" {
		node, err := client(c)
		if err != nil {
			return err
		}
		save = func(to io.Writer) error { return node.ClusterSnapshot(c.Context, to) }
	}
	f, err := os.OpenFile(c.String("file"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usage("--file: %w", err)
	}
	if err := errors.Join(save(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return printResult(c, map[string]any{"success": true, "file": f.Name()}, "the state is in %s", f.Name())
}

func restoreSnapshot(c *cli.Context) (err error) {
	for _, flag := range []string{"file", "data-dir", "node-id"} {
		if c.String(flag) == "" {
			return usage("restore: --%s is missing", flag)
		}
	}
	f, err := os.Open(c.String("file"))
	if err != nil {
		return usage("--file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := coordinator.Restore(c.Context, c.String("data-dir"), c.String("node-id"), c.String("raft-addr"), f); err != nil {
		return err
	}
	return printResult(c, map[string]any{"success": true, "dataDir": c.String("data-dir")},
		"%s is the data directory of the first node of a new cluster: start it with shardferry node --node-id %s --data-dir %s. Others join with empty directories. No node of the old cluster may run any more.",
		c.String("data-dir"), c.String("node-id"), c.String("data-dir"))
}
