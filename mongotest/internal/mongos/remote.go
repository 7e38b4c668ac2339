package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A remote is a cursor on a shard.
type remote struct {
	shard string
	to    command.Target // the member that has it
	ns    string         // as the shard named it
	id    int64          // 0 once exhausted
	buf   []bson.Raw
	extra bson.D // other fields of the newest batch, such as postBatchResumeToken
}

// open starts a cursor on a shard.
func (o *op) open(ctx context.Context, shard string, c call) (*remote, error) {
	resp, err := o.send(ctx, shard, c)
	if err != nil {
		return nil, err
	}
	m := &remote{shard: shard, to: command.Target{Member: resp.Member, Prefer: o.target(c).Prefer}}
	return m, m.take(resp)
}

// openAll starts a cursor on each shard, or on none.
func (o *op) openAll(ctx context.Context, shards []string, c func(shard string) call) ([]*remote, error) {
	remotes := make([]*remote, len(shards))
	err := o.each(ctx, shards, func(ctx context.Context, i int, shard string) error {
		var err error
		remotes[i], err = o.open(ctx, shard, c(shard))
		return err
	})
	if err == nil {
		return remotes, nil
	}
	for _, m := range remotes {
		if m != nil {
			m.close(ctx, o)
		}
	}
	return nil, err
}

// take reads a cursor reply.
func (m *remote) take(resp *command.Response) error {
	cur := getDoc(resp.Body, "cursor")
	if cur == nil {
		return mongoerr.New(mongoerr.InternalError, "shard %s answered without a cursor", m.shard)
	}
	m.extra = nil
	for name, v := range value.Elements(cur) {
		switch name {
		case "id":
			m.id = v.AsInt64()
		case "ns":
			m.ns = v.StringValue()
		case "firstBatch", "nextBatch":
			m.buf = docsOf(v)
		default:
			m.extra = append(m.extra, bson.E{Key: name, Value: v})
		}
	}
	return nil
}

// more gets the next batch. The fields are those of getMore: batchSize and
// maxTimeMS.
func (m *remote) more(ctx context.Context, o *op, fields ...bson.E) error {
	db, coll, _ := splitNS(m.ns)
	cmd := append(bson.D{{"getMore", m.id}, {"collection", coll}}, fields...)
	for _, name := range []string{"lsid", "comment"} {
		if v, ok := value.Get(o.req.Body, name); ok && (o.txn == nil || name != "lsid") {
			cmd = append(cmd, bson.E{Key: name, Value: v})
		}
	}
	resp, err := o.send(ctx, m.shard, call{name: "getMore", db: db, body: rawDoc(cmd), to: m.to})
	if err != nil {
		return err
	}
	return m.take(resp)
}

// next returns the next document, nil at the end.
func (m *remote) next(ctx context.Context, o *op) (bson.Raw, error) {
	for len(m.buf) == 0 {
		if m.id == 0 {
			return nil, nil
		}
		if err := m.more(ctx, o); err != nil {
			return nil, err
		}
	}
	d := m.buf[0]
	m.buf = m.buf[1:]
	return d, nil
}

// close ends the cursor on the shard. A shard that cannot be reached closes it
// by its own timeout.
func (m *remote) close(ctx context.Context, o *op) {
	if m.id == 0 {
		return
	}
	db, coll, _ := splitNS(m.ns)
	cmd := bson.D{{"killCursors", coll}, {"cursors", bson.A{m.id}}}
	if v, ok := value.Get(o.req.Body, "lsid"); ok {
		cmd = append(cmd, bson.E{Key: "lsid", Value: v})
	}
	m.id = 0
	plain := &op{r: o.r, req: o.req}
	if _, err := plain.send(ctx, m.shard, call{name: "killCursors", db: db, body: rawDoc(cmd), to: m.to}); err != nil {
		o.r.cfg.Logger.DebugContext(ctx, "cursor left to the shard's timeout", "shard", m.shard, "error", err)
	}
}
