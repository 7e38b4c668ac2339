package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

const password = "soak"

// own are the accounts that belong to each cluster by itself, as the checker calls
// them: what logs in there is left alone.
var own = []string{"system.users admin.operator"}

// users are those of a cluster. The application may not write past a write block.
func users(at side) []mongotest.User {
	role := func(names ...string) (roles []mongotest.Role) {
		for _, n := range names {
			roles = append(roles, mongotest.Role{Role: n, DB: "admin"})
		}
		return roles
	}
	operator := mongotest.User{Name: "operator", Password: password, DB: "admin", Roles: role("root")}
	if at == destination {
		return []mongotest.User{operator, {Name: "keeper", Password: password, DB: "admin", Roles: role("readAnyDatabase")}}
	}
	return []mongotest.User{
		operator,
		{Name: "app", Password: password, DB: "admin", Roles: role("readWriteAnyDatabase", "dbAdminAnyDatabase", "userAdminAnyDatabase", "clusterAdmin")},
	}
}

func newCluster(p *Plan, at side) (*mongotest.Cluster, error) {
	o := mongotest.Options{
		Name: at.String(), Shards: p.Shards[at], Members: p.Members, Version: p.Versions[at], Users: users(at),
		ElectionTimeout: 2 * time.Second, OrphanDelay: time.Second, TTLInterval: 2 * time.Second,
	}
	return mongotest.New(o)
}

func credential(user string) options.Credential {
	return options.Credential{Username: user, Password: password, AuthSource: "admin"}
}

// config is how the node reaches a cluster; more is added to the URI.
func config(c *mongotest.Cluster, more string) mongoconn.Config {
	uri := strings.Replace(c.URI(), "mongodb://", "mongodb://operator:"+password+"@", 1)
	if strings.Contains(uri, "?") {
		uri += "&authSource=admin"
	} else {
		uri = strings.TrimSuffix(uri, "/") + "/?authSource=admin"
	}
	return mongoconn.Config{URI: uri + more, Dialer: c.Dialer(), AppName: nodeApp}
}

// operator returns a client that may do everything.
func operator(c *mongotest.Cluster, app string) (*mongo.Client, error) {
	return mongo.Connect(c.ClientOptions().SetAuth(credential("operator")).SetAppName(app))
}

func application(c *mongotest.Cluster) (*mongo.Client, error) {
	client, err := mongo.Connect(c.ClientOptions().SetAuth(credential("app")).SetServerSelectionTimeout(10 * time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect an application: %w", err)
	}
	return client, nil
}

func disconnect(ctx context.Context, c *mongo.Client) {
	_ = mongoconn.Disconnect(ctx, c, 10*time.Second) // the cluster goes away with it
}

// latency lets every command take a while, so that things overlap.
func latency(c *mongotest.Cluster, seed uint64, most time.Duration) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 11))
	c.SetFaults(mongotest.Faults{Command: func(cmd mongotest.Command) mongotest.Fault {
		switch cmd.Name {
		case "hello", "isMaster", "ismaster", "saslStart", "saslContinue", "endSessions", "ping":
			return mongotest.Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		d := time.Duration(r.Int64N(int64(most)))
		if cmd.AppName == nodeApp && (cmd.Name == "insert" || cmd.Name == "find") {
			d *= 4 // the stream is to overtake the copy
		}
		return mongotest.Fault{Delay: d}
	}})
}
