package mongos

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An indexed document is an element of writeErrors or upserted, with the index
// of its statement in the client's command.
type indexed struct {
	index int
	doc   bson.Raw
}

// A writeResult adds up the replies of the shards to one write command.
type writeResult struct {
	n, modified int64
	errors      []indexed
	upserted    []indexed
	retried     []int32
	concern     bson.RawValue // the first writeConcernError
}

// add takes the reply of one shard to these statements.
func (res *writeResult) add(body bson.Raw, stmts []statement) error {
	res.n += getInt(body, "n", 0)
	res.modified += getInt(body, "nModified", 0)
	if err := remap(&res.errors, getDocs(body, "writeErrors"), stmts); err != nil {
		return err
	}
	if err := remap(&res.upserted, getDocs(body, "upserted"), stmts); err != nil {
		return err
	}
	if v, ok := value.Get(body, "retriedStmtIds"); ok && v.Type == bson.TypeArray {
		for _, e := range value.Elements(bson.Raw(v.Array())) {
			n, _ := value.AsInt64(e)
			if !slices.Contains(res.retried, int32(n)) {
				res.retried = append(res.retried, int32(n))
			}
		}
	}
	if v, ok := value.Get(body, "writeConcernError"); ok && res.concern.Type == 0 {
		res.concern = v
	}
	return nil
}

// remap turns the shard's indexes into the client's.
func remap(dst *[]indexed, docs []bson.Raw, stmts []statement) error {
	for _, d := range docs {
		i := getInt(d, "index", -1)
		if i < 0 || i >= int64(len(stmts)) {
			return mongoerr.New(mongoerr.InternalError, "a shard answered for statement %d of %d", i, len(stmts))
		}
		index := stmts[i].index
		rest := edit(d, []string{"index"})
		*dst = append(*dst, indexed{index, rest})
	}
	return nil
}

// fail records that a statement failed on the router.
func (res *writeResult) fail(index int, err error) {
	e := mongoerr.From(err)
	d := bson.D{{"code", int32(e.Code)}}
	d = append(d, e.Info...)
	d = append(d, bson.E{Key: "errmsg", Value: e.Message})
	res.errors = append(res.errors, indexed{index, rawDoc(d)})
}

func (res *writeResult) reply(name string) bson.Raw {
	d := bson.D{{"n", int32(res.n)}}
	if name == "update" {
		d = append(d, bson.E{Key: "nModified", Value: int32(res.modified)})
		if len(res.upserted) > 0 {
			d = append(d, bson.E{Key: "upserted", Value: render(res.upserted)})
		}
	}
	if len(res.errors) > 0 {
		d = append(d, bson.E{Key: "writeErrors", Value: render(res.errors)})
	}
	if len(res.retried) > 0 {
		d = append(d, bson.E{Key: "retriedStmtIds", Value: res.retried})
	}
	if res.concern.Type != 0 {
		d = append(d, bson.E{Key: "writeConcernError", Value: res.concern})
	}
	return rawDoc(d)
}

// render puts the entries in the order of their statements.
func render(entries []indexed) bson.A {
	slices.SortStableFunc(entries, func(a, b indexed) int { return cmp.Compare(a.index, b.index) })
	out := make(bson.A, len(entries))
	for i, e := range entries {
		d := bson.D{{"index", int32(e.index)}}
		for name, v := range value.Elements(e.doc) {
			d = append(d, bson.E{Key: name, Value: v})
		}
		out[i] = d
	}
	return out
}
