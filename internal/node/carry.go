package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/accounts"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// carrier implements coordinator.Carrier: it brings over stored JavaScript, and
// users and roles if they are asked for.
type carrier struct{ *Node }

// Carry implements coordinator.Carrier.
func (c carrier) Carry(ctx context.Context, s *state.Sync) (state.Command, error) {
	to := c.ends.to(&s.Leg)
	changes, err := c.storedChanges(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		if err := change.Apply(ctx, to.client); err != nil {
			return nil, fmt.Errorf("%s: %w", to.name, err)
		}
	}
	if !s.Job.WithUsers || s.Leg.Cutover.Carried {
		return nil, nil
	}
	return c.carryAccounts(ctx, s)
}

// carryAccounts makes the users and roles of the destination those of the source,
// but for those that are its own.
func (c carrier) carryAccounts(ctx context.Context, s *state.Sync) (state.Command, error) {
	from, d, err := c.accountChanges(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := conflict(d.Conflicts); err != nil {
		return nil, err
	}
	to := c.ends.to(&s.Leg)
	if !s.Accounts.Temporary {
		if err := accounts.Free(ctx, to.client); err != nil {
			return nil, fmt.Errorf("%s: %w", to.name, err)
		}
	}
	announced := !slices.ContainsFunc(d.Missing, func(a shardferry.Account) bool { return !slices.Contains(s.Accounts.Carried, a) })
	if !s.Accounts.Temporary || !announced {
		return state.Carrying{Leg: s.Leg.Number, Accounts: union(s.Accounts.Carried, d.Missing)}, nil
	}
	if err := accounts.Merge(ctx, to.client, from, d); err != nil {
		return nil, fmt.Errorf("%s: %w", to.name, err)
	}
	shared := slices.DeleteFunc(slices.Clone(s.Accounts.Carried), func(a shardferry.Account) bool { return !from.Has(a) })
	return state.Carried{Leg: s.Leg.Number, Accounts: shared}, nil
}

// Clear implements coordinator.Carrier.
func (c carrier) Clear(ctx context.Context, s *state.Sync) error {
	to := c.ends.to(&s.Leg)
	if err := accounts.Clear(ctx, to.client); err != nil {
		return fmt.Errorf("%s: %w", to.name, err)
	}
	return nil
}

func union(a, b []shardferry.Account) []shardferry.Account {
	all := slices.Concat(a, b)
	slices.SortFunc(all, shardferry.Account.Compare)
	return slices.Compact(all)
}

// storedChanges lists what makes the stored JavaScript of the leg's destination
// that of its source.
func (n *Node) storedChanges(ctx context.Context, s *state.Sync) ([]topology.StoredChange, error) {
	there, err := routeOf(s)
	if err != nil {
		return nil, err
	}
	back, err := oppositeOf(s)
	if err != nil {
		return nil, err
	}
	stored := func(e *end, name func(shardferry.Namespace) (shardferry.Namespace, bool)) (topology.Stored, error) {
		at, err := mongoconn.Note(ctx, e.client, "carry")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		js, err := topology.ReadStored(ctx, e.client, at, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		return js, nil
	}
	from, err := stored(n.ends.from(&s.Leg), there.To)
	if err != nil {
		return nil, err
	}
	to, err := stored(n.ends.to(&s.Leg), func(ns shardferry.Namespace) (shardferry.Namespace, bool) {
		_, ok := back.To(ns)
		return ns, ok
	})
	if err != nil {
		return nil, err
	}
	return topology.ChangeStored(from, to), nil
}

// accountChanges returns the users and roles of the leg's source that the
// destination is to have, and what has to be done for that. The user as whom we
// log in on the destination is left alone.
func (n *Node) accountChanges(ctx context.Context, s *state.Sync) (from accounts.Set, d accounts.Difference, err error) {
	var both [2]accounts.Set
	for i, e := range []*end{n.ends.from(&s.Leg), n.ends.to(&s.Leg)} {
		at, err := mongoconn.Note(ctx, e.client, "carry")
		if err != nil {
			return from, d, fmt.Errorf("%s: %w", e.name, err)
		}
		if both[i], err = accounts.Read(ctx, e.client, at); err != nil {
			return from, d, fmt.Errorf("%s: %w", e.name, err)
		}
	}
	login, err := accounts.Login(ctx, n.ends.to(&s.Leg).client)
	if err != nil {
		return from, d, fmt.Errorf("%s: %w", n.ends.to(&s.Leg).name, err)
	}
	from, to := both[0].Without(s.Accounts.Own).Without(login), both[1].Without(login)
	d, err = accounts.Compare(from, to, s.Accounts.Carried)
	return from, d, err
}

// uncarried says what of stored JavaScript, users and roles differs, inside a
// commit.
func (n *Node) uncarried(ctx context.Context, s *state.Sync) ([]string, error) {
	changes, err := n.storedChanges(ctx, s)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, c := range changes {
		found = append(found, fmt.Sprintf("%s differs: %d functions are missing, %d are others, %d are only on the destination",
			c.NS, len(c.Insert), len(c.Replace), len(c.Delete)))
	}
	if !s.Job.WithUsers {
		return found, nil
	}
	_, d, err := n.accountChanges(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		what string
		are  []shardferry.Account
	}{{"is missing", d.Missing}, {"differs", slices.Concat(d.Changed, d.Conflicts)}, {"is only on the destination", d.Gone}} {
		for _, a := range part.are {
			found = append(found, fmt.Sprintf("%v %s", a, part.what))
		}
	}
	return found, nil
}

// ownAccounts lists the users and roles of the leg's destination that are not
// there by our doing, if users come at all.
func (n *Node) ownAccounts(ctx context.Context, s *state.Sync) ([]shardferry.Account, error) {
	if !s.Job.WithUsers {
		return nil, nil
	}
	to := n.ends.to(&s.Leg)
	all, err := accounts.Read(ctx, to.client, shardferry.ClusterTime{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", to.name, err)
	}
	return all.Without(s.Accounts.Carried).Names(), nil
}

// checkStored refuses a destination that holds stored JavaScript, which would be
// overwritten, and a source that holds more than is carried over.
func (n *Node) checkStored(ctx context.Context, route shardferry.Route) error {
	if _, err := topology.ReadStored(ctx, n.ends.source.client, shardferry.ClusterTime{}, route.To); err != nil {
		return fmt.Errorf("%w: source: %w", api.ErrRefused, err)
	}
	there, err := topology.ReadStored(ctx, n.ends.destination.client, shardferry.ClusterTime{}, shardferry.Route{}.To)
	if err != nil {
		return fmt.Errorf("%w: destination: %w", api.ErrRefused, err)
	}
	if all := there.Namespaces(); len(all) > 0 {
		return fmt.Errorf("%w: the destination is not empty: it holds stored JavaScript in %v: delete it, or sync into an empty cluster", api.ErrRefused, all)
	}
	return nil
}

// checkAccounts refuses to bring users and roles over if that cannot be done as
// the clusters are now. It changes nothing.
func (n *Node) checkAccounts(ctx context.Context) error {
	from, err := readable(ctx, n.ends.source)
	if err != nil {
		return err
	}
	destination := n.ends.destination
	to, err := readable(ctx, destination)
	if err != nil {
		return err
	}
	if err := accounts.Free(ctx, destination.client); err != nil {
		return fmt.Errorf("%w: destination: %w", api.ErrRefused, err)
	}
	if err := accounts.MayMerge(ctx, destination.client); err != nil {
		return fmt.Errorf("%w: destination: it does not take users and roles from us: grant our user the roles backup and restore, or leave withUsers (--with-users) out: %w", api.ErrRefused, err)
	}
	login, err := accounts.Login(ctx, destination.client)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	for _, a := range login {
		if from.Has(a) {
			n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "limited", slog.String("why", fmt.Sprintf("%v of the source is not brought over: it is the one as whom we log in on the destination", a)))
		}
	}
	d, err := accounts.Compare(from.Without(login), to.Without(login), nil)
	if err != nil {
		return err
	}
	if err := conflict(d.Conflicts); err != nil {
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return nil
}

func readable(ctx context.Context, e *end) (accounts.Set, error) {
	set, err := accounts.Read(ctx, e.client, shardferry.ClusterTime{})
	if mongoconn.IsCode(err, mongoconn.CodeUnauthorized) {
		return set, fmt.Errorf("%w: %s: we may not read users and roles: grant our user the role backup, or leave withUsers (--with-users) out: %w", api.ErrRefused, e.name, err)
	}
	if err != nil {
		return set, fmt.Errorf("%s: %w", e.name, err)
	}
	return set, nil
}

// conflict returns an error that names what is on both clusters in other forms.
func conflict(found []shardferry.Account) error {
	if len(found) == 0 {
		return nil
	}
	var names []string
	for _, a := range found {
		names = append(names, a.String())
	}
	return fmt.Errorf("on both clusters, with other credentials, roles or privileges: %s: drop it on one of them, or give it another name there, or leave withUsers (--with-users) out", strings.Join(names, ", "))
}
