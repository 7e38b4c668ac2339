package mapreduce

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Mode says what becomes of the results.
type Mode int

// The modes of out.
const (
	Inline Mode = iota
	Replace
	Merge
	Reduce
)

// Out is where the results go.
type Out struct {
	Mode    Mode
	DB      string
	Coll    string
	Sharded bool // the collection must be sharded already
	named   bool // the database was given
}

// NS is the namespace of the results, "" for Inline.
func (o Out) NS() string {
	if o.Mode == Inline {
		return ""
	}
	return o.DB + "." + o.Coll
}

// parseOut reads out. Codes and words are those of the server's
// map_reduce_out_options.cpp.
func parseOut(v bson.RawValue, db string) (Out, error) {
	switch v.Type {
	case bson.TypeString:
		o := Out{Mode: Replace, DB: db, Coll: v.StringValue()}
		return o, o.check()
	case bson.TypeEmbeddedDocument:
		if inline, given := value.Get(v.Value, "inline"); given {
			f, _ := value.AsFloat64(inline)
			switch {
			case rawdoc.Len(v.Value) != 1:
				return Out{}, mongoerr.New(mongoerr.InvalidOptions, "'inline' must be specified alone")
			case f != 1:
				return Out{}, mongoerr.New(mongoerr.BadValue, "'inline' takes only numeric '1'")
			}
			return Out{}, nil
		}
		o, err := parseOutDoc(v.Value, db)
		if err != nil {
			return Out{}, err
		}
		return o, o.check()
	default:
		return Out{}, mongoerr.New(mongoerr.BadValue, "'out' must be either a string or an object")
	}
}

func parseOutDoc(spec bson.Raw, db string) (Out, error) {
	o := Out{DB: db}
	known := 0
	for field, mode := range map[string]Mode{"replace": Replace, "merge": Merge, "reduce": Reduce} {
		v, given := value.Get(spec, field)
		if !given {
			continue
		}
		s, ok := v.StringValueOK()
		if !ok {
			return o, mongoerr.New(mongoerr.BadValue, "'%s' supports only string consisting of output collection name", field)
		}
		o.Mode, o.Coll = mode, s
		known = 1
	}
	if known == 0 {
		return o, mongoerr.New(mongoerr.BadValue, "'out' requires 'replace', 'merge' or 'reduce'")
	}
	for _, flag := range []string{"sharded", "nonAtomic"} {
		v, given := value.Get(spec, flag)
		if !given {
			continue
		}
		b, ok := v.BooleanOK()
		if !ok {
			return o, mongoerr.New(mongoerr.BadValue, "%s field value must be boolean", flag)
		}
		if !b {
			return o, mongoerr.New(mongoerr.BadValue, "%s field value must be true", flag)
		}
		o.Sharded = o.Sharded || flag == "sharded"
		known++
	}
	if v, given := value.Get(spec, "db"); given {
		s, ok := v.StringValueOK()
		switch {
		case !ok:
			return o, mongoerr.New(mongoerr.BadValue, "db field value must be string")
		case slices.Contains([]string{"admin", "config", "local"}, s):
			return o, mongoerr.New(mongoerr.CommandNotSupported, "cannot target internal database as output")
		}
		o.DB, o.named = s, true
		known++
	}
	if rawdoc.Len(spec) != known {
		return o, mongoerr.New(mongoerr.BadValue, "'out' supports only output type with collection name, optional 'sharded' and optional 'db'")
	}
	return o, nil
}

func (o Out) check() error {
	switch {
	case o.Coll == "" || o.DB == "" || strings.ContainsAny(o.Coll, "\x00$") || strings.ContainsAny(o.DB, "\x00 ./\\\"$"):
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid output namespace %s.%s for MapReduce", o.DB, o.Coll)
	case strings.HasPrefix(o.Coll, "system."):
		return mongoerr.New(17385, "Can't output mapReduce results to special collection %s", o.Coll)
	case slices.Contains([]string{"admin", "config", "local"}, o.DB):
		return mongoerr.New(31321, "Can't output mapReduce results to internal DB %s", o.DB)
	default:
		return nil
	}
}
