package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// endPrepared decides what was prepared on the shards when the cluster ended: it
// is committed everywhere if one of them has committed it, else nowhere.
func (c *Catalog) endPrepared(ctx context.Context) error {
	for _, s := range c.cfg.Shards {
		body, err := c.ask(ctx, s.ID, "admin", bson.D{{"_listPrepared", int32(1)}})
		if err != nil {
			return err
		}
		for _, p := range getDocs(body, "prepared") {
			commit, err := c.committedSomewhere(ctx, p)
			if err != nil {
				return err
			}
			key, _ := value.Get(p, "key")
			if _, err := c.ask(ctx, s.ID, "admin", bson.D{{"_endPrepared", int32(1)}, {"key", key}, {"commit", commit}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Catalog) committedSomewhere(ctx context.Context, prepared bson.Raw) (bool, error) {
	number, _ := value.Get(prepared, "txnNumber")
	for _, s := range c.cfg.Shards {
		body, err := c.ask(ctx, s.ID, "admin", bson.D{{"_hasCommitted", int32(1)}, {"session", getDoc(prepared, "lsid")}, {"number", number.AsInt64()}})
		if err != nil || getBool(body, "committed", false) {
			return err == nil, err
		}
	}
	return false, nil
}
