package mongos

import (
	"context"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes for an op that is no shardid:opid, and of another type.
const (
	badOpID     mongoerr.Code = 28625
	badOpIDType mongoerr.Code = 50760
)

// killOp interrupts an operation of a shard, which $currentOp names shard:opid.
// A router's own have numbers, which it does not show: there is nothing to kill.
func killOp(ctx context.Context, o *op) (bson.Raw, error) {
	v, ok := value.Get(o.req.Body, "op")
	if !ok {
		return nil, mongoerr.New(mongoerr.NoSuchKey, "Did not provide \"op\" field")
	}
	if _, isNumber := value.AsInt64(v); isNumber {
		return rawDoc(bson.D{{"info", "attempting to kill op"}}), nil
	}
	name, ok := v.StringValueOK()
	if !ok {
		return nil, mongoerr.New(badOpIDType, "\"op\" field was of unsupported type %s", value.TypeName(v.Type))
	}
	id, number, _ := strings.Cut(name, ":")
	if id == "" || number == "" {
		return nil, mongoerr.New(badOpID, "The op argument to killOp must be of the format shardid:opid but found %q", name)
	}
	s, err := o.r.catalog.shard(id)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return nil, mongoerr.New(mongoerr.FailedToParse, "Did not consume whole string.")
	}
	_, err = o.send(ctx, s.ID, call{name: "killOp", db: "admin", safe: true, body: rawDoc(bson.D{{"killOp", int32(1)}, {"op", int32(n)}})})
	return rawDoc(bson.D{{"shard", s.ID}, {"shardid", int32(n)}}), err
}

// namedByShard is what a shard says of an operation as a router shows it.
func namedByShard(doc bson.Raw, shard string) bson.Raw {
	add := bson.D{{"shard", shard}}
	if id, ok := value.Get(doc, "opid"); ok {
		n, _ := value.AsInt64(id)
		add = append(add, bson.E{Key: "opid", Value: shard + ":" + strconv.FormatInt(n, 10)})
	}
	return set(doc, add...)
}
