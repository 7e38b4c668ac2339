// Package mapreduce reads the mapReduce command and makes of it the pipeline
// that the server runs in its place. It runs nothing.
package mapreduce

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxInline is how much a reply with the results in it may hold.
const maxInline = 16 << 20

// A Command is a parsed mapReduce.
type Command struct {
	DB       string
	Coll     string
	Out      Out
	Scope    bson.Raw // nil for none
	Bypass   bool     // bypassDocumentValidation
	mapCode  bson.RawValue
	reduce   bson.RawValue
	finalize bson.RawValue // type 0: none
	query    bson.Raw
	sort     bson.Raw
	limit    int64 // 0: none
}

// Parse reads a command, whose fields have the right types. name is what it is
// called.
func Parse(name, db string, body bson.Raw) (*Command, error) {
	c := &Command{DB: db}
	coll, _ := value.Get(body, name)
	c.Coll, _ = coll.StringValueOK()
	if c.Coll == "" {
		return nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid input namespace %s.%s", db, c.Coll)
	}
	for field, dst := range map[string]*bson.RawValue{"map": &c.mapCode, "reduce": &c.reduce, "finalize": &c.finalize} {
		v, given := value.Get(body, field)
		if (!given || v.Type == bson.TypeNull) && field == "finalize" {
			continue // older drivers send null
		}
		if v.Type != bson.TypeString && v.Type != bson.TypeJavaScript {
			return nil, mongoerr.New(mongoerr.BadValue, "'%s' must be of string or code type", field)
		}
		*dst = code(v)
	}
	c.query, c.sort, c.Scope = doc(body, "query"), doc(body, "sort"), doc(body, "scope")
	if v, given := value.Get(body, "limit"); given && v.Type != bson.TypeNull {
		c.limit, _ = value.AsInt64(v)
		if c.limit <= 0 {
			return nil, mongoerr.New(15958, "The limit specified to mapReduce must be positive")
		}
	}
	if c.sort != nil && value.IsEmpty(c.sort) {
		return nil, mongoerr.New(15976, "The mapReduce sort option must have at least one sort key")
	}
	bypass, _ := value.Get(body, "bypassDocumentValidation")
	c.Bypass = value.Truthy(bypass)
	out, _ := value.Get(body, "out")
	var err error
	c.Out, err = parseOut(out, db)
	return c, err
}

func doc(body bson.Raw, field string) bson.Raw {
	v, _ := value.Get(body, field)
	d, _ := v.DocumentOK()
	return d
}

// code makes a source a value that no expression takes for a path.
func code(v bson.RawValue) bson.RawValue {
	if s, ok := v.StringValueOK(); ok {
		return value.Of(bson.JavaScript(s))
	}
	return v
}

// Stages is the pipeline (the server's translateFromMR): it emits, groups by
// key, reduces each group, and writes.
func (c *Command) Stages() []bson.Raw {
	var out []bson.Raw
	if c.query != nil {
		out = append(out, value.D("$match", c.query))
	}
	if c.sort != nil {
		out = append(out, value.D("$sort", c.sort))
	}
	if c.limit > 0 {
		out = append(out, value.D("$limit", c.limit))
	}
	out = append(out,
		value.D("$project", value.D("emits", value.D("$_internalJsEmit", value.D("eval", c.mapCode, "this", "$$ROOT")), "_id", 0)),
		value.D("$unwind", "$emits"),
		value.D("$group", value.D("_id", "$emits.k", "value", value.D("$_internalJsReduce", value.D("data", "$emits", "eval", c.reduce)))))
	if c.finalize.Type != 0 {
		out = append(out, call(c.finalize, "$_id", "$value"))
	}
	if c.Out.Mode == Inline {
		return out
	}
	target := value.D("db", c.Out.DB, "coll", c.Out.Coll)
	switch c.Out.Mode {
	case Replace:
		return append(out, value.D("$out", target))
	case Merge:
		return append(out, value.D("$merge", value.D("into", target, "whenMatched", "replace", "whenNotMatched", "insert")))
	default:
		again := []bson.Raw{call(c.reduce, "$_id", value.A("$value", "$$new.value"))}
		if c.finalize.Type != 0 {
			again = append(again, call(c.finalize, "$_id", "$value"))
		}
		return append(out, value.D("$merge", value.D("into", target, "whenMatched", again, "whenNotMatched", "insert")))
	}
}

// call is the stage that puts what a function returns into value.
func call(body bson.RawValue, args ...any) bson.Raw {
	return value.D("$project", value.D("value", value.D("$function", value.D("body", body, "args", value.A(args...), "lang", "js"))))
}

// Reply is the answer to the command; results are what the pipeline gives.
func (c *Command) Reply(results []bson.Raw) (bson.Raw, error) {
	if c.Out.Mode != Inline {
		if c.Out.named {
			return value.D("result", value.D("db", c.Out.DB, "collection", c.Out.Coll)), nil
		}
		return value.D("result", c.Out.Coll), nil
	}
	var b rawdoc.Builder
	for _, d := range results {
		if b.Push(value.Doc(d)); b.Size() > maxInline {
			return nil, mongoerr.New(31301, "MapReduce inline results are greater than the allowed 16MB limit")
		}
	}
	return value.D("results", value.Array(b.Bytes())), nil
}
