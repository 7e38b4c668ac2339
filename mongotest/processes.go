package mongotest

import (
	"fmt"
	"strings"
)

// Routers is the name of all routers where a disturbance names processes. Other
// names are addresses, and those of replica sets: "shard0" for all its members,
// "shard0/primary", "shard0/secondaries".
const Routers = "routers"

// processes returns the addresses of those that a name stands for.
func (c *Cluster) processes(name string) ([]string, error) {
	if name == Routers && len(c.routers) > 0 {
		return c.front(), nil
	}
	id, part, _ := strings.Cut(name, "/")
	if s, err := c.set(id); err == nil {
		return s.part(part)
	}
	for _, addr := range c.Addrs() {
		if addr == name {
			return []string{addr}, nil
		}
	}
	return nil, fmt.Errorf("there is no process %q; it may be an address, a shard, config, a shard with /primary or /secondaries, %s", name, Routers)
}

// part returns the addresses of a part of the set.
func (s *replicaSet) part(name string) ([]string, error) {
	var out []string
	primary := s.primary()
	for _, m := range s.members {
		if name == "" || name == "primary" && m == primary || name == "secondaries" && m != primary {
			out = append(out, m.addr)
		}
	}
	switch {
	case name != "" && name != "primary" && name != "secondaries":
		return nil, fmt.Errorf("%s has no part %q; it may be primary or secondaries", s.id, name)
	case len(out) == 0 && name == "primary":
		return nil, fmt.Errorf("%s: %w", s.id, ErrNoPrimary)
	case len(out) == 0:
		return nil, fmt.Errorf("%s has no %s", s.id, name)
	}
	return out, nil
}

// members returns the members of replica sets among the processes that a name
// stands for, of which all must be some.
func (c *Cluster) membersNamed(name string) ([]*member, error) {
	addrs, err := c.processes(name)
	if err != nil {
		return nil, err
	}
	var out []*member
	for _, addr := range addrs {
		m, err := c.memberAt(addr)
		if err != nil {
			return nil, fmt.Errorf("%s is no member of a replica set", addr)
		}
		out = append(out, m)
	}
	return out, nil
}

// routerAt returns the router at an address, nil if there is none.
func (c *Cluster) routerAt(addr string) *router {
	for _, r := range c.routers {
		if r.addr == addr {
			return r
		}
	}
	return nil
}
