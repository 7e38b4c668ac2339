package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

var (
	// ErrMembership reports a change of the cluster's members that is refused.
	// Nothing was changed.
	ErrMembership = errors.New("the members stay as they are")

	// ErrRemoved reports a node that is not a member of its cluster any more.
	ErrRemoved = errors.New("this node is not a member of its cluster")
)

// joining is what a node says that wants to become a member, and changing what is
// asked about one.
type (
	joining struct {
		ID   string `bson:"id"`
		Addr string `bson:"addr"`
	}
	changing struct {
		ID   string `bson:"id"`
		From string `bson:"from,omitempty"` // who led when it was asked
	}
)

// changeLimit bounds one change of the members.
const changeLimit = 10 * time.Second

// HasState reports whether the node belongs to a cluster, as far as its data
// directory knows.
func (c *Coordinator) HasState(ctx context.Context) (bool, error) {
	if err := c.started(ctx); err != nil {
		return false, err
	}
	return c.raft.LastIndex() > 0, nil
}

// Init makes this node the first of a new cluster.
func (c *Coordinator) Init(ctx context.Context) error {
	if err := c.started(ctx); err != nil {
		return err
	}
	if c.cfg.Peers == nil {
		return fmt.Errorf("%w: this node works alone", ErrMembership)
	}
	if c.joins.Load() {
		return fmt.Errorf("%w: this node is about to join a cluster", ErrMembership)
	}
	err := c.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(c.cfg.ID), Address: raft.ServerAddress(c.cfg.Peers.Addr())}}}).Error()
	if errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("%w: this node belongs to a cluster already", ErrMembership)
	}
	if err != nil {
		return fmt.Errorf("begin a cluster: %w", err)
	}
	c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "a cluster begins", slog.String("node", c.cfg.ID))
	return nil
}

// joinPause is how long a node waits before it asks again to be taken in.
const joinPause = time.Second

// Join makes this node a member of the cluster to which the node at addr belongs,
// and a voter if so wanted. It asks until it is one. A node that is a member
// already stays it.
func (c *Coordinator) Join(ctx context.Context, addr string, voter bool) error {
	if c.cfg.Peers == nil {
		return fmt.Errorf("%w: this node works alone", ErrMembership)
	}
	c.joins.Store(true)
	defer c.joins.Store(false)
	if has, err := c.HasState(ctx); err != nil {
		return err
	} else if !has {
		if err := c.enter(ctx, addr); err != nil {
			return err
		}
	}
	if !voter {
		return nil
	}
	for {
		err := c.promote(ctx)
		if err == nil || errors.Is(err, ErrMembership) || ctx.Err() != nil {
			return err
		}
		c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "not a voter yet", slog.Any("error", err))
		if err := waitFor(ctx, nil, joinPause); err != nil {
			return err
		}
	}
}

// promote makes this node a voter once it knows all that the others know. A voter
// with less would hold them up.
func (c *Coordinator) promote(ctx context.Context) error {
	if err := c.CaughtUp(ctx); err != nil {
		return err
	}
	_, err := c.ask(ctx, askPromote, changing{ID: c.cfg.ID})
	return err
}

// enter asks until this node belongs to the cluster.
func (c *Coordinator) enter(ctx context.Context, addr string) error {
	body, err := bson.Marshal(joining{ID: c.cfg.ID, Addr: c.cfg.Peers.Addr()})
	if err != nil {
		return fmt.Errorf("encode joining: %w", err)
	}
	at := addr
	for {
		var r reply
		cctx, cancel := context.WithTimeout(ctx, changeLimit)
		answer, err := c.cfg.Peers.Call(cctx, at, askJoin, body)
		cancel()
		if err == nil {
			r, err = decodeReply(answer)
		}
		switch {
		case err == nil:
			return c.belong(ctx)
		case errors.Is(err, ErrMembership):
			return err
		case r.Leader != "" && r.Leader != at:
			at = r.Leader
		default:
			at = addr
			c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "not taken in yet", slog.String("by", at), slog.Any("error", err))
		}
		if err := waitFor(ctx, nil, joinPause); err != nil {
			return err
		}
	}
}

// belong waits until the cluster has told this node of itself.
func (c *Coordinator) belong(ctx context.Context) error {
	for {
		for _, m := range c.Members() {
			if m.ID == c.cfg.ID {
				return nil
			}
		}
		if err := waitFor(ctx, nil, leaderLook); err != nil {
			return err
		}
	}
}

// ClusterMembers lists the nodes of the cluster as the leader knows them. It may
// be called on any node.
func (c *Coordinator) ClusterMembers(ctx context.Context) ([]Member, error) {
	r, err := c.ask(ctx, askMembers, []byte(nil))
	return r.Members, err
}

// Leave removes a node from the cluster. It may be called on any node.
func (c *Coordinator) Leave(ctx context.Context, id string) error {
	members, err := c.ClusterMembers(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
		return fmt.Errorf("%w: there is no node %q", ErrMembership, id)
	}
	_, err = c.ask(ctx, askLeave, changing{ID: id})
	return err
}

// TransferLeadership makes another node lead: the one with this ID, or any if it
// is empty. It may be called on any node.
func (c *Coordinator) TransferLeadership(ctx context.Context, id string) error {
	members, err := c.ClusterMembers(ctx)
	if err != nil {
		return err
	}
	q := changing{ID: id}
	for _, m := range members {
		if m.Leader {
			q.From = m.ID
		}
	}
	_, err = c.ask(ctx, askTransfer, q)
	return err
}

func (c *Coordinator) membersHere(ctx context.Context, _ []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	// A leader that was replaced without knowing it may have an old list.
	if err := c.settle(ctx, c.confirm); err != nil {
		return reply{}, err
	}
	return reply{Members: c.Members()}, nil
}

// server looks a member up, and says as of which change of the members that is.
func (c *Coordinator) server(match func(raft.Server) bool) (found *raft.Server, all []raft.Server, index uint64, err error) {
	future := c.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, nil, 0, fmt.Errorf("%w: %w", shardferry.ErrNotLeader, err)
	}
	all = future.Configuration().Servers
	for i := range all {
		if match(all[i]) {
			return &all[i], all, future.Index(), nil
		}
	}
	return nil, all, future.Index(), nil
}

func withID(id string) func(raft.Server) bool {
	return func(s raft.Server) bool { return string(s.ID) == id }
}

// change waits for a change of the members.
func (c *Coordinator) change(ctx context.Context, begin func() raft.IndexFuture) error {
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	return c.settle(ctx, func() raft.Future { return begin() })
}

// joinHere takes a node in, without a vote: what such a node has forgotten was
// never counted. It has an empty data directory, so it must not pass for a member
// that had votes and entries.
func (c *Coordinator) joinHere(ctx context.Context, body []byte) (reply, error) {
	var j joining
	if err := bson.Unmarshal(body, &j); err != nil {
		return reply{}, fmt.Errorf("%w: join: %w", ErrMembership, err)
	}
	if j.ID == "" || j.Addr == "" {
		return reply{}, fmt.Errorf("%w: a node that joins has an ID and an address", ErrMembership)
	}
	same, all, index, err := c.server(withID(j.ID))
	if err != nil {
		return reply{}, err
	}
	if same != nil {
		if same.Suffrage == raft.Nonvoter && string(same.Address) == j.Addr {
			return reply{}, nil // it asks again
		}
		return reply{}, fmt.Errorf("%w: there is a node %s at %s, and one with an empty data directory cannot take its place: remove it first (shardferry cluster leave --node-id %s), or choose another --node-id", ErrMembership, j.ID, same.Address, j.ID)
	}
	for _, s := range all {
		if string(s.Address) == j.Addr {
			return reply{}, fmt.Errorf("%w: %s is the address of node %s: remove that one first (shardferry cluster leave --node-id %s)", ErrMembership, j.Addr, s.ID, s.ID)
		}
	}
	return reply{}, c.change(ctx, func() raft.IndexFuture {
		return c.raft.AddNonvoter(raft.ServerID(j.ID), raft.ServerAddress(j.Addr), index, changeLimit)
	})
}

func (c *Coordinator) promoteHere(ctx context.Context, body []byte) (reply, error) {
	s, index, err := c.member(body)
	switch {
	case err != nil:
		return reply{}, err
	case s == nil:
		return reply{}, fmt.Errorf("%w: the node that asks is none: it was removed, or its --node-id is another one now", ErrMembership)
	case s.Suffrage == raft.Voter:
		return reply{}, nil
	}
	return reply{}, c.change(ctx, func() raft.IndexFuture { return c.raft.AddVoter(s.ID, s.Address, index, changeLimit) })
}

// member returns the member that a question is about, nil if there is none.
func (c *Coordinator) member(body []byte) (*raft.Server, uint64, error) {
	var q changing
	if err := bson.Unmarshal(body, &q); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrMembership, err)
	}
	s, _, index, err := c.server(withID(q.ID))
	return s, index, err
}

// leaveHere removes a member. A leader first hands leadership over, and leaves
// the removal to the next one.
func (c *Coordinator) leaveHere(ctx context.Context, body []byte) (reply, error) {
	s, index, err := c.member(body)
	if err != nil || s == nil {
		return reply{}, err // it has left
	}
	if string(s.ID) == c.cfg.ID {
		if err := c.handOver(ctx, ""); err != nil {
			return reply{}, err
		}
		return reply{}, fmt.Errorf("leadership was handed over: %w", shardferry.ErrNotLeader)
	}
	return reply{}, c.change(ctx, func() raft.IndexFuture { return c.raft.RemoveServer(s.ID, index, changeLimit) })
}

func (c *Coordinator) transferHere(ctx context.Context, body []byte) (reply, error) {
	var q changing
	if err := bson.Unmarshal(body, &q); err != nil {
		return reply{}, fmt.Errorf("%w: %w", ErrMembership, err)
	}
	if q.ID == c.cfg.ID || q.ID == "" && q.From != c.cfg.ID {
		return reply{}, nil // it is done: this node leads now
	}
	return reply{}, c.handOver(ctx, q.ID)
}

// handOver makes another voter lead.
func (c *Coordinator) handOver(ctx context.Context, id string) error {
	other, _, _, err := c.server(func(s raft.Server) bool {
		return s.Suffrage == raft.Voter && string(s.ID) != c.cfg.ID && (id == "" || string(s.ID) == id)
	})
	switch {
	case err != nil:
		return err
	case other == nil && id == "":
		return fmt.Errorf("%w: there is no other voter that could lead", ErrMembership)
	case other == nil:
		return fmt.Errorf("%w: there is no voter %q", ErrMembership, id)
	}
	begin := c.raft.LeadershipTransfer
	if id != "" {
		begin = func() raft.Future { return c.raft.LeadershipTransferToServer(other.ID, other.Address) }
	}
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	return c.settle(ctx, begin)
}

// looksBeforeAsking is how many seconds a node goes without a leader before it
// asks the others whether it still belongs to them.
const looksBeforeAsking = 3

// belongs returns ErrRemoved once the leader does not count this node among the
// members. A node that was removed may never hear of that: it only falls silent.
func (c *Coordinator) belongs(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	alone := 0
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if leader, _ := c.raft.LeaderWithID(); leader != "" || c.joins.Load() {
			alone = 0
			continue
		}
		if alone++; alone < looksBeforeAsking {
			continue
		}
		alone = 0
		for _, m := range c.Members() {
			if m.ID == c.cfg.ID {
				continue
			}
			r, err := c.askOther(ctx, m.Addr)
			if err == nil && !slices.ContainsFunc(r.Members, func(m Member) bool { return m.ID == c.cfg.ID }) {
				return fmt.Errorf("node %s: %w: it was removed. To take it in again, give it an empty data directory and have it join", c.cfg.ID, ErrRemoved)
			}
		}
	}
}

// askOther asks another node who belongs to the cluster. Only the leader answers.
func (c *Coordinator) askOther(ctx context.Context, addr string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	b, err := c.cfg.Peers.Call(ctx, addr, askMembers, nil)
	if err != nil {
		return reply{}, err
	}
	return decodeReply(b)
}
