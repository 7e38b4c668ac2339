package mongotest

import (
	"context"
	"fmt"
)

// Isolate takes a member away from its clients, the routers and the other
// members. If it was the primary, another one is elected when
// Options.ElectionTimeout is over, and what only the lost one had is rolled
// back. It returns when the member's operations have ended, or with the cause of
// ctx's end; the member is isolated then too. A set of one member keeps its
// primary, which nobody can reach.
func (c *Cluster) Isolate(ctx context.Context, addr string) error {
	m, err := c.memberAt(addr)
	if err != nil {
		return err
	}
	c.Cut(addr)
	return m.node.Down(ctx)
}

// Rejoin ends Isolate: the member comes back as a secondary.
func (c *Cluster) Rejoin(addr string) error {
	m, err := c.memberAt(addr)
	if err != nil {
		return err
	}
	m.node.Up()
	c.Heal(addr)
	return nil
}

// StopReplication keeps a secondary at what it has applied. With a majority of
// members so, the majority commit point stands still: change streams wait, and
// so do writes that a majority must acknowledge.
func (c *Cluster) StopReplication(addr string) error { return c.lag(addr, true) }

// ResumeReplication ends StopReplication: the member catches up at once.
func (c *Cluster) ResumeReplication(addr string) error { return c.lag(addr, false) }

func (c *Cluster) lag(addr string, lagging bool) error {
	m, err := c.memberAt(addr)
	if err != nil {
		return err
	}
	m.node.Lag(lagging)
	return nil
}

func (c *Cluster) memberAt(addr string) (*member, error) {
	for _, m := range c.members() {
		if m.addr == addr {
			return m, nil
		}
	}
	return nil, fmt.Errorf("mongotest: no member of a replica set at %q", addr)
}
