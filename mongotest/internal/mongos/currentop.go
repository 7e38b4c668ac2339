package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// currentOpCommand is the command form of $currentOp: its fields beside the
// options are a filter over the operations of all shards.
func currentOpCommand(ctx context.Context, o *op) (bson.Raw, error) {
	filter := bson.D{}
	for name, v := range value.Elements(o.req.Body) {
		switch name {
		case "currentOp", "$all", "$ownOps", "lsid", "$db", "$clusterTime", "$readPreference", "comment", "maxTimeMS", "apiVersion":
		default:
			filter = append(filter, bson.E{Key: name, Value: v})
		}
	}
	f, err := o.currentOp(ctx, []bson.Raw{
		rawDoc(bson.D{{"$currentOp", bson.D{{"allUsers", true}, {"idleConnections", getBool(o.req.Body, "$all", false)}}}}),
		rawDoc(bson.D{{"$match", filter}}),
	})
	if err != nil {
		return nil, err
	}
	defer f.close(context.WithoutCancel(ctx), o)
	docs, err := aggregate.Collect(ctx, &feedSource{o: o, feed: f})
	if err != nil {
		return nil, err
	}
	return rawDoc(bson.D{{"inprog", arrayOf(docs)}}), nil
}
