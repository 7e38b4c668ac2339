package capacity

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// began is the time of all plans.
var began = time.UnixMilli(1_700_000_000_000).UTC()

// Start returns the start of a sync.
func Start() state.Start {
	return state.Start{From: "capacity", Job: state.Job{
		Source: state.Endpoint{Name: "cluster0", Hosts: "a:27017", ID: "a"}, Destination: state.Endpoint{Name: "cluster1", Hosts: "b:27017", ID: "b"},
		StartedAt: began, CommitBudget: 60_000,
	}}
}

// Plan returns a plan of so many shards, collections and copy tasks. The tasks of a
// collection go round the shards. Its documents have ObjectIDs.
func Plan(shards, collections, tasks int) state.Planned {
	p := state.Planned{Start: shardferry.ClusterTime{T: uint32(began.Unix()), I: 1}, Bytes: int64(tasks) << 28}
	for i := range shards {
		p.Shards = append(p.Shards, shardID(i))
	}
	for i := range collections {
		ns := shardferry.Namespace{DB: fmt.Sprintf("tenant%04d", i/20), Coll: fmt.Sprintf("collection_%05d", i)}
		p.Collections = append(p.Collections, shardferry.Collection{UUID: uuid(i), Source: ns, Destination: ns, ShardKey: document("tenant", int32(1))})
		p.Indexes = append(p.Indexes, state.Index{NS: ns, Spec: indexOf("tenant_1", "tenant")})
	}
	p.Plan = document("collections", p.Collections)
	for i := range tasks {
		of := i % collections
		p.Tasks = append(p.Tasks, shardferry.CopyTask{
			ID: int64(i + 1), Shard: shardID(i % shards), UUID: uuid(of), Index: document("_id", int32(1)),
			Min: document("_id", key(of, i/collections)), Max: document("_id", key(of, i/collections+1)),
		})
	}
	return p
}

func shardID(i int) shardferry.ShardID { return shardferry.ShardID(fmt.Sprintf("shard%04d", i)) }

// scatter makes bytes that do not compress, from a number.
func scatter(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func uuid(i int) (u shardferry.UUID) {
	binary.BigEndian.PutUint64(u[:8], scatter(uint64(i)+1))
	binary.BigEndian.PutUint64(u[8:], scatter(uint64(i)+1<<40))
	return u
}

func key(collection, n int) (id bson.ObjectID) {
	binary.BigEndian.PutUint32(id[:4], uint32(began.Unix())+uint32(n)*3600)
	binary.BigEndian.PutUint64(id[4:], scatter(uint64(collection)<<32+uint64(n)))
	return id
}

func document(key string, value any) bson.Raw {
	b, err := bson.Marshal(bson.D{{Key: key, Value: value}})
	if err != nil {
		panic(err) // of values that are all known here
	}
	return b
}

func indexOf(name, field string) bson.Raw {
	b, err := bson.Marshal(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: document(field, int32(1))}, {Key: "name", Value: name}})
	if err != nil {
		panic(err) // as above
	}
	return b
}
