package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// endPrepared decides what was prepared on the shards when the cluster ended: it
// is committed if its coordinator had decided that, and nobody was told of it
// otherwise.
func (c *Catalog) endPrepared(ctx context.Context) error {
	decided, err := c.decisions(ctx)
	if err != nil {
		return err
	}
	for _, s := range c.cfg.Shards {
		body, err := c.ask(ctx, s.ID, "admin", bson.D{{"_listPrepared", int32(1)}})
		if err != nil {
			return err
		}
		for _, p := range getDocs(body, "prepared") {
			number, _ := value.Get(p, "txnNumber")
			at, ok := decided[txnID{sessionID(getDoc(p, "lsid")), number.AsInt64()}]
			if !ok {
				if at, err = c.committedSomewhere(ctx, p); err != nil {
					return err
				}
			}
			key, _ := value.Get(p, "key")
			if _, err := c.ask(ctx, s.ID, "admin", bson.D{{"_endPrepared", int32(1)}, {"key", key}, {"commitTimestamp", at}}); err != nil {
				return err
			}
		}
	}
	for _, s := range c.cfg.Shards {
		all := bson.A{bson.D{{"q", bson.D{}}, {"limit", int32(0)}}}
		if _, err := c.ask(ctx, s.ID, "config", bson.D{{"delete", "transaction_coordinators"}, {"deletes", all}}); err != nil {
			return err
		}
	}
	return nil
}

// A txnID is a session and a transaction number in it.
type txnID struct {
	session string
	number  int64
}

// decisions reads as of when the transactions are to be committed that their
// coordinators had decided to commit.
func (c *Catalog) decisions(ctx context.Context) (map[txnID]bson.Timestamp, error) {
	decided := map[txnID]bson.Timestamp{}
	for _, s := range c.cfg.Shards {
		docs, err := c.read(ctx, s.ID, "config", "transaction_coordinators")
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			id := getDoc(d, "_id")
			number, _ := value.Get(id, "txnNumber")
			if at := getTime(getDoc(d, "decision"), "commitTimestamp"); !at.IsZero() {
				decided[txnID{sessionID(getDoc(id, "lsid")), number.AsInt64()}] = at
			}
		}
	}
	return decided, nil
}

// committedSomewhere returns as of when a participant has committed, zero if none
// has.
func (c *Catalog) committedSomewhere(ctx context.Context, prepared bson.Raw) (bson.Timestamp, error) {
	number, _ := value.Get(prepared, "txnNumber")
	for _, s := range c.cfg.Shards {
		body, err := c.ask(ctx, s.ID, "admin", bson.D{{"_hasCommitted", int32(1)}, {"session", getDoc(prepared, "lsid")}, {"number", number.AsInt64()}})
		if err != nil {
			return bson.Timestamp{}, err
		}
		if at := getTime(body, "commitTimestamp"); !at.IsZero() {
			return at, nil
		}
	}
	return bson.Timestamp{}, nil
}
