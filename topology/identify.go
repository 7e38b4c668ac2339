package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// ErrNoOplog reports a server that is not part of a replica set: it keeps no
// oplog, so nothing can be streamed from it.
var ErrNoOplog = errors.New("the server is a standalone mongod and has no oplog: convert it to a replica set first (rs.initiate)")

// Identify reads what kind of cluster answers, its version, its identity and
// its shards, but not its collections.
func Identify(ctx context.Context, client *mongo.Client) (*Cluster, error) {
	var hello struct {
		Msg     string   `bson:"msg"`
		SetName string   `bson:"setName"`
		Hosts   []string `bson:"hosts"`
	}
	if err := run(ctx, client, "admin", bson.D{{"hello", 1}}, &hello); err != nil {
		return nil, err
	}
	var build struct {
		Version []int `bson:"versionArray"`
	}
	if err := run(ctx, client, "admin", bson.D{{"buildInfo", 1}}, &build); err != nil {
		return nil, err
	}
	if len(build.Version) < 3 {
		return nil, fmt.Errorf("buildInfo: versionArray has %d elements", len(build.Version))
	}
	c := &Cluster{Version: Version{Major: build.Version[0], Minor: build.Version[1], Patch: build.Version[2]}}
	var err error
	switch {
	case hello.Msg == "isdbgrid":
		c.Kind = Sharded
		err = c.readShards(ctx, client)
	case hello.SetName != "":
		c.Kind = ReplicaSet
		c.ID, err = replicaSetID(ctx, client, hello.SetName+"/"+strings.Join(hello.Hosts, ","))
		c.Shards = []Shard{{ID: shardferry.ShardID(hello.SetName), Host: strings.Join(hello.Hosts, ",")}}
	default:
		err = ErrNoOplog
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// replicaSetID returns the id that a set got when it was initiated. A user who
// may not read the configuration must do with the set's name and members, which
// tell it from others: most sets have the same name. Any other failure is one:
// an identity that changes with the weather would be worse than none.
func replicaSetID(ctx context.Context, client *mongo.Client, instead string) (string, error) {
	var reply struct {
		Config struct {
			Settings struct {
				ID bson.ObjectID `bson:"replicaSetId"`
			} `bson:"settings"`
		} `bson:"config"`
	}
	err := run(ctx, client, "admin", bson.D{{"replSetGetConfig", 1}}, &reply)
	if mongoconn.IsCode(err, mongoconn.CodeUnauthorized, mongoconn.CodeCommandNotFound) {
		return instead, nil
	}
	if err != nil {
		return "", err
	}
	if reply.Config.Settings.ID.IsZero() {
		return instead, nil
	}
	return reply.Config.Settings.ID.Hex(), nil
}

func (c *Cluster) readShards(ctx context.Context, client *mongo.Client) error {
	config := client.Database("config")
	var version struct {
		ClusterID bson.ObjectID `bson:"clusterId"`
	}
	if err := config.Collection("version").FindOne(ctx, bson.D{}).Decode(&version); err != nil {
		return fmt.Errorf("read config.version: %w", err)
	}
	c.ID = version.ClusterID.Hex()
	if err := findAll(ctx, config.Collection("shards"), bson.D{}, bson.D{{"_id", 1}}, &c.Shards); err != nil {
		return err
	}
	if len(c.Shards) == 0 {
		return errors.New("config.shards is empty: the cluster has no shard")
	}
	var balancer struct {
		Stopped bool   `bson:"stopped"`
		Mode    string `bson:"mode"`
	}
	err := config.Collection("settings").FindOne(ctx, bson.D{{"_id", "balancer"}}).Decode(&balancer)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return fmt.Errorf("read config.settings: %w", err)
	}
	c.BalancerOn = !balancer.Stopped && balancer.Mode != "off"
	return nil
}

// ShardIDs returns the shards' names in order.
func (c *Cluster) ShardIDs() []shardferry.ShardID {
	ids := make([]shardferry.ShardID, len(c.Shards))
	for i, s := range c.Shards {
		ids[i] = s.ID
	}
	return slices.Clip(ids)
}

func run(ctx context.Context, client *mongo.Client, db string, cmd bson.D, out any) error {
	if err := client.Database(db).RunCommand(ctx, cmd).Decode(out); err != nil {
		return fmt.Errorf("%s: %w", cmd[0].Key, err)
	}
	return nil
}

func findAll(ctx context.Context, coll *mongo.Collection, filter, sort bson.D, out any) error {
	cur, err := coll.Find(ctx, filter, options.Find().SetSort(sort))
	if err != nil {
		return fmt.Errorf("read %s.%s: %w", coll.Database().Name(), coll.Name(), err)
	}
	if err := cur.All(ctx, out); err != nil {
		return fmt.Errorf("read %s.%s: %w", coll.Database().Name(), coll.Name(), err)
	}
	return nil
}
