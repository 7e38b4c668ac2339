package checker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// accounts reads users and roles: all that a server keeps of them, credentials too.
func (c *Cluster) accounts(ctx context.Context, client *mongo.Client) error {
	c.Accounts = map[string]string{}
	for _, name := range []string{"system.users", "system.roles"} {
		cur, err := client.Database("admin").Collection(name).Find(ctx, bson.D{})
		if err != nil {
			return fmt.Errorf("read admin.%s: %w", name, err)
		}
		for cur.Next(ctx) {
			c.Accounts[name+" "+cur.Current.Lookup("_id").StringValue()] = account(cur.Current)
		}
		if err := cur.Err(); err != nil {
			return fmt.Errorf("read admin.%s: %w", name, err)
		}
	}
	return nil
}

// account renders an account. The order of its roles and of its privileges says
// nothing, and neither does that of its own fields.
func account(doc bson.Raw) string {
	fields := map[string]string{}
	for _, e := range elements(doc) {
		fields[e.Key()] = value(e.Value())
		if e.Key() == "roles" || e.Key() == "privileges" {
			var all []string
			for _, item := range items(e.Value()) {
				all = append(all, value(item))
			}
			slices.Sort(all)
			fields[e.Key()] = fmt.Sprint(all)
		}
	}
	var out string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		out += name + ": " + fields[name] + ", "
	}
	return out
}

// With returns what a cluster should hold to which this one's users and roles come
// beside those that it has: own are names that belong to each cluster by itself.
func (c *Cluster) With(there *Cluster, own []string) *Cluster {
	out := *c
	out.Accounts = maps.Clone(there.Accounts)
	for name, a := range c.Accounts {
		if !slices.Contains(own, name) {
			out.Accounts[name] = a
		}
	}
	return &out
}

func differentAccounts(a, b map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		switch there, ok := b[name]; {
		case !ok:
			out = append(out, fmt.Sprintf("%s is missing on the destination", name))
		case there != a[name]:
			out = append(out, fmt.Sprintf("%s has another form on the destination: %s; %s", name, a[name], there))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			out = append(out, fmt.Sprintf("%s is only on the destination", name))
		}
	}
	return out
}
