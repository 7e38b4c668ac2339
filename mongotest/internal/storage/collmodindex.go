package storage

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// index works on collMod's index: {name | keyPattern, hidden,
// expireAfterSeconds, prepareUnique, unique}.
func (p *collMod) index(d bson.Raw) error {
	ix, err := p.find(d)
	if err != nil {
		return err
	}
	p.changed = ix
	logged := value.Append(make([]byte, 4, 64), "name", value.String(ix.Name))
	changes := 0
	err = eachElement(d, func(key string, v bson.RawValue) error {
		if key == "name" || key == "keyPattern" {
			return nil
		}
		changes++
		shown, err := p.indexOption(key, v)
		if err == nil {
			logged = value.Append(logged, key, shown)
		}
		return err
	})
	if err == nil && changes > 1 && slices.Contains(p.changes, "prepareUnique") && len(p.changes) > 1 {
		err = mongoerr.New(mongoerr.InvalidOptions, "collMod does not support changing prepareUnique together with other options of the index")
	}
	if err == nil && changes == 0 {
		err = mongoerr.New(mongoerr.InvalidOptions, "no expireAfterSeconds, hidden, unique, or prepareUnique field")
	}
	p.logged = value.Append(p.logged, "index", value.Doc(finishDoc(logged)))
	return err
}

func (p *collMod) find(d bson.Raw) (*Index, error) {
	name, byName := value.Get(d, "name")
	pattern, byKey := value.Get(d, "keyPattern")
	if byName == byKey {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "Must specify either index name or key pattern, but not both.")
	}
	var found []*Index
	if s, ok := name.StringValueOK(); byName && ok {
		if ix := p.c.Index(s); ix != nil {
			found = []*Index{ix}
		}
	}
	if k, ok := pattern.DocumentOK(); byKey && ok {
		found = p.c.IndexesByKey(k)
	}
	switch len(found) {
	case 0:
		return nil, mongoerr.New(mongoerr.IndexNotFound, "cannot find index %s for ns %s", render(d), p.c.NS)
	case 1:
		return found[0], nil
	}
	return nil, mongoerr.New(mongoerr.AmbiguousIndexKeyPattern, "index keyPattern %s matches %d indexes, must use index name",
		render(d), len(found))
}

// indexOption changes one option of the index and returns it as logged.
func (p *collMod) indexOption(key string, v bson.RawValue) (bson.RawValue, error) {
	switch key {
	case "hidden":
		if p.changed.isID() {
			return v, mongoerr.New(mongoerr.BadValue, "can't hide _id index")
		}
		if value.Truthy(v) && p.c.OnlyForShardKey(p.changed) {
			return v, mongoerr.New(mongoerr.InvalidOptions, "Can't hide the only compatible index for this collection's shard key")
		}
		return p.flag(key, v, p.changed.Hidden)
	case "prepareUnique":
		if p.changed.Unique {
			return v, nil // it has nothing to prepare
		}
		return p.flag(key, v, p.changed.prepareUnique)
	case "unique":
		return p.unique(v)
	case "expireAfterSeconds":
		return p.expire(v)
	}
	return v, mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'collMod.index.%s' is an unknown field.", key)
}

func (p *collMod) flag(key string, v bson.RawValue, old bool) (bson.RawValue, error) {
	on := value.Bool(value.Truthy(v))
	if on.Boolean() == old {
		return on, nil
	}
	p.changes = append(p.changes, key)
	if err := p.set(key, on); err != nil {
		return v, err
	}
	p.note(key, value.Bool(old), on)
	return on, nil
}

func (p *collMod) unique(v bson.RawValue) (bson.RawValue, error) {
	switch {
	case !value.Truthy(v):
		return v, mongoerr.New(mongoerr.BadValue, "collMod does not support converting an index to non-unique")
	case p.changed.Unique:
		return v, nil
	case !p.changed.prepareUnique:
		return v, mongoerr.New(mongoerr.InvalidOptions, "Cannot make index unique: index '%s' must have prepareUnique set", p.changed.Name)
	}
	p.convert = true
	if err := p.set("prepareUnique", value.Bool(false)); err != nil {
		return v, err
	}
	if err := p.set("unique", value.Bool(true)); err != nil {
		return v, err
	}
	p.reply = append(p.reply, bson.E{Key: "unique_new", Value: true})
	return value.Bool(true), nil
}

func (p *collMod) expire(v bson.RawValue) (bson.RawValue, error) {
	old := p.changed.expireAfter
	n, ok := value.AsInt64(v)
	if !ok {
		return v, wrongOptionType("expireAfterSeconds", v, "safeInt")
	}
	if n < 0 || p.changed.isID() || len(p.changed.fields) != 1 {
		return v, mongoerr.New(mongoerr.InvalidOptions, "TTL index 'expireAfterSeconds' option must be within 0 and %d, on a single field other than _id", math.MaxInt32)
	}
	p.changes = append(p.changes, "expireAfterSeconds")
	seconds := value.Int64(min(n, math.MaxInt32))
	if err := p.set("expireAfterSeconds", seconds); err != nil {
		return v, err
	}
	if old != nil {
		p.note("expireAfterSeconds", value.Int64(*old), seconds)
	} else {
		p.reply = append(p.reply, bson.E{Key: "expireAfterSeconds_new", Value: seconds})
	}
	return seconds, nil
}

func (p *collMod) set(key string, v bson.RawValue) error {
	option := &v
	if v.Type == bson.TypeBoolean && !v.Boolean() {
		option = nil
	}
	ix, err := p.changed.withOption(key, option)
	if err == nil {
		p.changed = ix
	}
	return err
}

// note records an option's old value for the reply and the oplog.
func (p *collMod) note(key string, old, now bson.RawValue) {
	p.oldIndex = value.Append(p.oldIndex, key, old)
	p.reply = append(p.reply, bson.E{Key: key + "_old", Value: old}, bson.E{Key: key + "_new", Value: now})
}

// checkIndex refuses to make an index unique that has several entries of one
// key, and tells which documents share one.
func (p *collMod) checkIndex() error {
	if !p.convert {
		return nil
	}
	groups := p.changed.repeated()
	if len(groups) == 0 {
		return nil
	}
	violations := make([]bson.RawValue, len(groups))
	for i, rids := range groups {
		ids := make([]bson.RawValue, 0, len(rids))
		for _, rid := range rids {
			r, _ := p.c.records.Get(rid)
			id, _ := value.Get(r.doc, idField)
			ids = append(ids, id)
		}
		violations[i] = value.Doc(value.D("ids", value.ArrayOf(ids...)))
	}
	return mongoerr.New(mongoerr.CannotConvertIndexToUnique, "Cannot convert the index to unique. Please resolve "+
		"conflicting documents before running collMod again.").
		WithInfo("violations", value.ArrayOf(violations...))
}

// repeated returns the records that share a key, by key.
func (ix *Index) repeated() [][]int64 {
	var out [][]int64
	var group []int64
	last := ""
	end := func() {
		if len(group) > 1 {
			out = append(out, group)
		}
		group = nil
	}
	ix.data.entries.Scan(func(entry string, rid int64) bool {
		key := entry[:len(entry)-recordIDSuffixLength]
		if key != last {
			end()
			last = key
		}
		group = append(group, rid)
		return true
	})
	end()
	return out
}
