package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// A side is one of the two clusters.
type side int

const (
	source side = iota
	destination
)

func (s side) String() string { return [...]string{"source", "destination"}[s] }

// A faultKind is a sort of fault.
type faultKind struct {
	name  string
	needs func(p *Plan, at side) bool
	do    func(ctx context.Context, f Fault, c *mongotest.Cluster) error
}

// A Fault is one that strikes in a history.
type Fault struct {
	Kind  faultKind
	Phase Phase
	Side  side
	After time.Duration // since the beginning of the phase
	For   time.Duration
	Seed  uint64
}

func (f Fault) String() string {
	return fmt.Sprintf("%v+%v: %s at the %v for %v", f.Phase, f.After, f.Kind.name, f.Side, f.For)
}

// drawFaults draws a few; some histories go without.
func (p *Plan) drawFaults(r *rand.Rand) {
	all := faultKinds()
	for n := range r.IntN(4) {
		k := all[r.IntN(len(all))]
		if n == 0 {
			k = all[p.Seed%uint64(len(all))]
		}
		f := Fault{
			Kind: k, Phase: one(r, Planning, Copying, Copying, Streaming, Committing), Side: side(r.IntN(2)),
			After: time.Duration(r.IntN(800)) * time.Millisecond, For: time.Duration(100+r.IntN(2500)) * time.Millisecond, Seed: r.Uint64(),
		}
		if k.needs == nil || k.needs(p, f.Side) {
			p.Faults = append(p.Faults, f)
		}
	}
}

func several(p *Plan, _ side) bool                       { return p.Members > 1 }
func ofDestination(_ *Plan, at side) bool                { return at == destination }
func hasRouters(p *Plan, at side) bool                   { return p.Shards[at] > 0 }
func (f Fault) rand() *rand.Rand                         { return rand.New(rand.NewPCG(f.Seed, 7)) }
func anyShard(c *mongotest.Cluster, r *rand.Rand) string { return one(r, c.Shards()...) }

// faultKinds are all there are.
func faultKinds() []faultKind {
	disturb := func(name string, needs func(p *Plan, at side) bool, of func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance) faultKind {
		return faultKind{name: name, needs: needs, do: func(ctx context.Context, f Fault, c *mongotest.Cluster) error {
			return disturb(ctx, c, of(c, f.rand()), f.For)
		}}
	}
	out := []faultKind{
		disturb("connections closed", nil, func(*mongotest.Cluster, *rand.Rand) mongotest.Disturbance { return mongotest.KillConnections{} }),
		disturb("requests lost", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Drop{From: mongotest.Clients, To: anyOf(c, r), Probability: 0.1}
		}),
		disturb("answers lost", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Drop{From: mongotest.Clients, To: anyOf(c, r), Probability: 0.1, Replies: true}
		}),
		disturb("requests of routers lost", hasRouters, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Drop{From: mongotest.Routers, To: anyShard(c, r), Probability: 0.1, Replies: r.IntN(2) == 0}
		}),
		disturb("delays", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Delay{From: mongotest.Clients, To: anyOf(c, r), By: time.Duration(50+r.IntN(500)) * time.Millisecond}
		}),
		disturb("step down", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.StepDown{Shard: anyShard(c, r), For: time.Duration(1+r.IntN(3)) * time.Second}
		}),
		disturb("the config server steps down", hasRouters, func(*mongotest.Cluster, *rand.Rand) mongotest.Disturbance {
			return mongotest.StepDown{Shard: "config", For: time.Second}
		}),
		disturb("primary killed", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Crashed{Process: anyShard(c, r) + "/primary"}
		}),
		disturb("all members restart", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Restart{Process: anyShard(c, r)}
		}),
		disturb("routers restart", hasRouters, func(*mongotest.Cluster, *rand.Rand) mongotest.Disturbance {
			return mongotest.Restart{Process: mongotest.Routers}
		}),
		disturb("primary paused", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Paused{Process: anyShard(c, r) + "/primary"}
		}),
		disturb("routers paused", hasRouters, func(*mongotest.Cluster, *rand.Rand) mongotest.Disturbance {
			return mongotest.Paused{Process: mongotest.Routers}
		}),
		disturb("primary cut off from its secondaries", several, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			s := anyShard(c, r)
			return mongotest.Partition{From: s + "/primary", To: s + "/secondaries"}
		}),
		disturb("routers cut off from a shard", hasRouters, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Partition{From: mongotest.Routers, To: anyShard(c, r), Silent: r.IntN(2) == 0}
		}),
		disturb("clients cut off", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Partition{From: mongotest.Clients, To: anyOf(c, r), Silent: r.IntN(2) == 0}
		}),
		disturb("majority stands still", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.FrozenMajority{Shard: anyShard(c, r)}
		}),
		disturb("secondaries lag", several, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.Lag{Process: anyShard(c, r) + "/secondaries", By: time.Duration(r.IntN(2)) * time.Second}
		}),
		disturb("clocks apart", nil, func(c *mongotest.Cluster, r *rand.Rand) mongotest.Disturbance {
			return mongotest.ClockSkew{Process: anyShard(c, r), By: time.Duration(one(r, -50, -3, 4, 60)) * time.Second}
		}),
		{name: "write block lifted", needs: ofDestination, do: liftBlock},
	}
	return append(out, failures()...)
}

// anyOf names a process that clients talk to.
func anyOf(c *mongotest.Cluster, r *rand.Rand) string {
	if len(c.Routers()) > 0 && r.IntN(2) == 0 {
		return mongotest.Routers
	}
	return anyShard(c, r)
}

// disturb lets a disturbance last for a time.
func disturb(ctx context.Context, c *mongotest.Cluster, d mongotest.Disturbance, lasts time.Duration) error {
	id, err := c.Disturb(ctx, d, 0)
	if errors.Is(err, mongotest.ErrNoPrimary) || errors.Is(err, mongotest.ErrLastsAlready) {
		return errNothing // another fault has it
	}
	if err != nil || id == 0 {
		return err
	}
	err = mongoconn.Sleep(ctx, lasts)
	return errors.Join(err, c.EndDisturbance(context.WithoutCancel(ctx), id))
}

// liftBlock is somebody who opens the destination for a moment.
func liftBlock(ctx context.Context, f Fault, c *mongotest.Cluster) error {
	client, err := operator(c, "somebody")
	if err != nil {
		return err
	}
	defer disconnect(ctx, client)
	for _, on := range []bool{false, true} {
		err := client.Database("admin").RunCommand(ctx, bson.D{{"setUserWriteBlockMode", 1}, {"global", on}}).Err()
		if err != nil {
			return errNothing
		}
		if err := mongoconn.Sleep(ctx, f.For); err != nil {
			return err
		}
	}
	return nil
}

// failures are errors that servers answer with: every class that passes, with and
// without the command's having been carried out.
func failures() []faultKind {
	var out []faultKind
	for _, e := range []struct {
		code int
		name string
	}{
		{6, "HostUnreachable"},
		{7, "HostNotFound"},
		{50, "MaxTimeMSExpired"},
		{64, "WriteConcernTimeout"},
		{89, "NetworkTimeout"},
		{91, "ShutdownInProgress"},
		{112, "WriteConflict"},
		{133, "FailedToSatisfyReadPreference"},
		{134, "ReadConcernMajorityNotAvailableYet"},
		{150, "StaleEpoch"},
		{189, "PrimarySteppedDown"},
		{262, "ExceededTimeLimit"},
		{9001, "SocketException"},
		{10107, "NotWritablePrimary"},
		{11600, "InterruptedAtShutdown"},
		{11602, "InterruptedDueToReplStateChange"},
		{13435, "NotPrimaryNoSecondaryOk"},
		{13436, "NotPrimaryOrSecondary"},
	} {
		out = append(out,
			faultKind{name: "failCommand: " + e.name, do: failCommand(bson.D{{"errorCode", e.code}}, "insert", "update", "delete", "find", "getMore", "aggregate", "killSessions", "appendOplogNote")},
			faultKind{name: "failCommand: write concern error " + e.name, needs: ofDestination, do: failCommand(
				bson.D{{"writeConcernError", bson.D{{"code", e.code}, {"errmsg", "soak"}}}}, "insert", "update", "delete")},
		)
	}
	return append(out,
		faultKind{name: "failCommand: the cursor is gone", needs: func(_ *Plan, at side) bool { return at == source }, do: failCommand(bson.D{{"errorCode", 43}}, "getMore")},
		faultKind{name: "failCommand: connection closed", do: failCommand(bson.D{{"closeConnection", true}}, "insert", "update", "delete", "find", "getMore", "aggregate")},
		faultKind{name: "failCommand: throttled", do: failCommand(bson.D{{"blockConnection", true}, {"blockTimeMS", 700}}, "insert", "update", "delete", "find", "getMore")},
	)
}

// nodeApp is the name under which the node's connections appear.
const nodeApp = "node"

// failCommand lets some commands of the node fail at one process.
func failCommand(data bson.D, commands ...string) func(ctx context.Context, f Fault, c *mongotest.Cluster) error {
	return func(ctx context.Context, f Fault, c *mongotest.Cluster) error {
		r := f.rand()
		addr, err := addrOf(c, r)
		if err != nil {
			return errNothing
		}
		client, err := mongo.Connect(options.Client().SetHosts([]string{addr}).SetDirect(true).SetDialer(c.Dialer()).SetAuth(credential("operator")))
		if err != nil {
			return err
		}
		defer disconnect(ctx, client)
		names := bson.A{}
		for _, c := range commands {
			if r.IntN(2) == 0 || len(commands) == 1 {
				names = append(names, c)
			}
		}
		cmd := bson.D{{"configureFailPoint", "failCommand"}, {"mode", bson.D{{"times", 1 + r.IntN(12)}}}, {"data", append(bson.D{{"failCommands", names}, {"appName", nodeApp}}, data...)}}
		on := client.Database("admin").RunCommand(ctx, cmd).Err() == nil
		if on {
			if err := mongoconn.Sleep(ctx, f.For); err != nil {
				return err
			}
		}
		// Also where it seems to be off: another fault may have lost the answer.
		if err := switchOff(ctx, client); err != nil {
			return err
		}
		if !on {
			return errNothing // the process is away, or as good as that
		}
		return nil
	}
}

// switchOff ends a failCommand. Another fault may lose the command; who is away for
// longer than it is tried comes back without the failpoint.
func switchOff(ctx context.Context, client *mongo.Client) error {
	for range 10 {
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := client.Database("admin").RunCommand(once, bson.D{{"configureFailPoint", "failCommand"}, {"mode", "off"}}).Err()
		cancel()
		if err == nil {
			return nil
		}
		if err := mongoconn.Sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// addrOf returns a process that the node talks to.
func addrOf(c *mongotest.Cluster, r *rand.Rand) (string, error) {
	if routers := c.Routers(); len(routers) > 0 {
		return one(r, routers...), nil
	}
	return c.Addr(c.Shards()[0])
}
