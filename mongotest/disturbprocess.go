package mongotest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Paused stops processes where they are, as SIGSTOP does: they accept connections
// and answer nothing. What was sent meanwhile they answer when they go on, even
// writes to a primary that has been deposed and does not know it yet.
type Paused struct{ Process string }

func (Paused) kind() string     { return "pause" }
func (d Paused) fields() bson.D { return bson.D{{"process", d.Process}} }

func (d Paused) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	addrs, err := c.processes(d.Process)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	for _, addr := range addrs {
		c.Pause(addr)
	}
	return func(context.Context) error {
		for _, addr := range addrs {
			c.Resume(addr)
		}
		return nil
	}, nil
}

// Crashed ends processes; they start again when it is over. A process keeps its
// data but no connections, cursors, open transactions, parameters and fail points.
type Crashed struct{ Process string }

func (Crashed) kind() string     { return "crash" }
func (d Crashed) fields() bson.D { return bson.D{{"process", d.Process}} }

func (d Crashed) begin(ctx context.Context, c *Cluster) (func(context.Context) error, error) {
	addrs, err := c.processes(d.Process)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	for _, addr := range addrs {
		if err := c.crash(ctx, addr); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error {
		for _, addr := range addrs {
			c.startProcess(ctx, addr)
		}
		return nil
	}, nil
}

// crash ends a process.
func (c *Cluster) crash(ctx context.Context, addr string) error {
	c.Cut(addr)
	if m, err := c.memberAt(addr); err == nil {
		return m.node.Crash(ctx)
	}
	return nil
}

// startProcess starts a process that has crashed.
func (c *Cluster) startProcess(ctx context.Context, addr string) {
	if m, err := c.memberAt(addr); err == nil {
		m.node.Start()
	} else if r := c.routerAt(addr); r != nil {
		r.mongo.Restart(ctx)
	}
	c.Heal(addr)
}

// Restart ends processes and starts them again at once.
type Restart struct{ Process string }

func (Restart) kind() string     { return "restart" }
func (d Restart) fields() bson.D { return bson.D{{"process", d.Process}} }

func (d Restart) begin(ctx context.Context, c *Cluster) (func(context.Context) error, error) {
	end, err := Crashed(d).begin(ctx, c)
	if err != nil {
		return nil, err
	}
	return nil, end(ctx)
}

// KillConnections closes the clients' connections to processes, to all without a
// name.
type KillConnections struct{ Process string }

func (KillConnections) kind() string     { return "killConnections" }
func (d KillConnections) fields() bson.D { return bson.D{{"process", d.Process}} }

func (d KillConnections) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	var addrs []string
	if d.Process != "" {
		var err error
		if addrs, err = c.processes(d.Process); err != nil {
			return nil, fmt.Errorf("process: %w", err)
		}
	}
	c.KillConnections(addrs...)
	return nil, nil
}

// ClockSkew sets the clocks of processes ahead by so much, or back if it is
// negative. The cluster time goes by the clock of whoever writes. Processes take
// over no cluster time that is later than their own clock by more than a year.
type ClockSkew struct {
	Process string
	By      time.Duration
}

func (ClockSkew) kind() string { return "clockSkew" }

func (d ClockSkew) fields() bson.D {
	return bson.D{{"process", d.Process}, {"skewMS", d.By.Milliseconds()}}
}

func (d ClockSkew) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	addrs, err := c.processes(d.Process)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	if d.By == 0 {
		return nil, errors.New("skewMS: 0 is no skew")
	}
	set := func(by time.Duration) {
		for _, addr := range addrs {
			if m, err := c.memberAt(addr); err == nil {
				m.node.SetSkew(by)
			} else if r := c.routerAt(addr); r != nil {
				r.mongo.SetSkew(by)
			}
		}
	}
	set(d.By)
	return func(context.Context) error { set(0); return nil }, nil
}

// DiskFull lets members find no space on their disks: writes fail with
// OutOfDiskSpace, and a secondary applies nothing.
type DiskFull struct{ Process string }

func (DiskFull) kind() string     { return "diskFull" }
func (d DiskFull) fields() bson.D { return bson.D{{"process", d.Process}} }

func (d DiskFull) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	return c.onMembers(d.Process, func(m *member) { m.node.FillDisk(true) }, func(m *member) { m.node.FillDisk(false) })
}

// onMembers does something to members, and something else when that is over.
func (c *Cluster) onMembers(name string, begin, end func(*member)) (func(context.Context) error, error) {
	ms, err := c.membersNamed(name)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	for _, m := range ms {
		begin(m)
	}
	return func(context.Context) error {
		for _, m := range ms {
			end(m)
		}
		return nil
	}, nil
}
