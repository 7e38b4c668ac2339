package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// tryFilters asks the source whether it takes the document filters. It looks at no
// document for that.
func (n *Node) tryFilters(ctx context.Context, route shardferry.Route) error {
	filters := route.Filters()
	byName := func(a, b shardferry.Namespace) int { return strings.Compare(a.String(), b.String()) }
	for _, ns := range slices.SortedFunc(maps.Keys(filters), byName) {
		none := bson.D{{Key: "$and", Value: bson.A{bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{}}}}}, filters[ns]}}}
		err := n.ends.source.client.Database(ns.DB).Collection(ns.Coll).FindOne(ctx, none).Err()
		var refused mongo.CommandError
		switch {
		case err == nil || errors.Is(err, mongo.ErrNoDocuments):
		case errors.As(err, &refused) && !refused.HasErrorLabel("RetryableError") && !refused.HasErrorLabel("NetworkError"):
			return fmt.Errorf("documentFilters: the source does not take that of %s: %w: %w", ns, err, api.ErrBadRequest)
		default:
			return fmt.Errorf("try the filter of %s: %w", ns, err)
		}
	}
	if len(filters) > 0 {
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "limited", slog.String("why", "there will be no way back after the commit: only some documents are moved"))
	}
	return nil
}
