package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// CollMod changes options of a collection, a view or an index. mod is the
// collMod command without "collMod" itself and the generic arguments. It
// returns the fields of the reply, such as hidden_old and hidden_new. Errors:
// those of the options, IndexNotFound, CannotConvertIndexToUnique with the
// violations. Smaller limits of a capped collection count from the next insert on.
func (tx *Tx) CollMod(c *Collection, mod bson.Raw, m Meta) (bson.D, error) {
	if err := tx.mayAlter(c, "collMod"); err != nil {
		return nil, err
	}
	if c.IsTimeseries() {
		return tx.modTimeseries(c, mod, m)
	}
	if c.IsView() {
		return nil, tx.modView(c, mod, m)
	}
	before := c.entry
	p := collMod{c: c, options: c.Options, logged: value.Append(make([]byte, 4, 128), "collMod", value.String(c.Name()))}
	if err := eachElement(mod, p.field); err != nil {
		return nil, err
	}
	opts, shown, err := parseOptions(c.NS, p.options, false)
	if err != nil {
		return nil, err
	}
	if p.changed != nil {
		if err := p.checkIndex(); err != nil {
			return nil, err
		}
	}
	tx.saveEntry(c)
	c.opts, c.Options = opts, shown
	if p.changed != nil {
		c.indexes = c.withIndex(p.changed)
	}
	tx.stageCommand(c, finishDoc(p.logged), p.old(before), m)
	return p.reply, nil
}

// collMod is one collMod command being worked on.
type collMod struct {
	c        *Collection
	options  bson.Raw // the collection's new options
	logged   []byte   // the entry's o
	changed  *Index   // the index with its new options, nil if none is changed
	oldIndex []byte   // elements of indexOptions_old
	changes  []string // the options of the index that do change
	reply    bson.D
	convert  bool // the index is to become unique
}

func (p *collMod) field(key string, v bson.RawValue) error {
	switch key {
	case "index":
		d, err := documentOption(key, v)
		if err != nil {
			return err
		}
		return p.index(d)
	case "validator", "validationLevel", "validationAction", "changeStreamPreAndPostImages":
		p.options = with(p.options, key, v)
	case "cappedSize", "cappedMax":
		if err := p.capped(key, v); err != nil {
			return err
		}
	case "expireAfterSeconds":
		if !p.c.Clustered() {
			return mongoerr.New(mongoerr.InvalidOptions,
				"'expireAfterSeconds' is only supported when the 'clusteredIndex' option is specified")
		}
		if s, ok := v.StringValueOK(); ok && s == "off" {
			p.options = without(p.options, key)
		} else {
			p.options = with(p.options, key, v)
		}
	case "timeseries":
		if err := p.seriesOption(key, v); err != nil {
			return err
		}
	case "viewOn", "pipeline":
		return mongoerr.New(mongoerr.InvalidOptions, "option only supported on a view: %s", key)
	default:
		return mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'collMod.%s' is an unknown field.", key)
	}
	p.logged = value.Append(p.logged, key, v)
	return nil
}

func (p *collMod) capped(key string, v bson.RawValue) error {
	if !p.c.Capped() {
		return mongoerr.New(mongoerr.InvalidOptions, "Collection must be capped.")
	}
	if key == "cappedMax" {
		n, err := cappedMax(v)
		p.options = with(p.options, "max", value.Integer(n))
		return err
	}
	n, err := cappedSize(v)
	p.options = with(p.options, "size", value.Integer(n))
	return err
}

// old returns the o2 of the entry: the options before.
func (p *collMod) old(before entry) bson.Raw {
	options := value.Append(make([]byte, 4, len(before.Options)+32), "uuid", value.Binary(4, before.UUID[:]))
	o2 := value.Append(make([]byte, 4, 128), "collectionOptions_old", value.Doc(finishDoc(appendDoc(options, before.Options))))
	if p.changed != nil {
		o2 = value.Append(o2, "indexOptions_old", value.Doc(finishDoc(append(make([]byte, 4), p.oldIndex...))))
	}
	return finishDoc(o2)
}

// withIndex returns the collection's indexes with one replaced by name.
func (c *Collection) withIndex(changed *Index) []*Index {
	out := make([]*Index, len(c.indexes))
	for i, ix := range c.indexes {
		out[i] = ix
		if ix.Name == changed.Name {
			out[i] = changed
		}
	}
	return out
}

// modView changes a view's definition.
func (tx *Tx) modView(c *Collection, mod bson.Raw, m Meta) error {
	o := c.opts
	err := eachElement(mod, func(key string, v bson.RawValue) error {
		if key != "viewOn" && key != "pipeline" {
			return mongoerr.New(mongoerr.InvalidOptions, "option not supported on a view: %s", key)
		}
		return o.setView(key, v)
	})
	if err != nil {
		return err
	}
	return tx.changeView(c, o.viewOn, o.pipeline, m)
}
