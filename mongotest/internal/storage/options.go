package storage

import (
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// options are a collection's or view's options, parsed.
type options struct {
	capped          bool
	size, maxDocs   int64 // of a capped collection: bytes, documents (0: any number)
	clustered       bool
	clusteredIndex  bson.Raw // normalised
	expireAfter     *int64   // seconds, of a clustered collection
	validator       bson.Raw // nil: none
	level, action   string
	images          bool
	viewOn          string // name without the database; empty for collections
	pipeline        bson.Raw
	coll            *collation.Collation // nil: simple
	hasSize, hasMax bool
	hasIDIndex      bool
	idCollation     bson.RawValue       // of idIndex
	series          *timeseries.Options // of a time-series collection and of its buckets
}

// maxCappedSize is the server's limit for size: 1 PB.
const maxCappedSize = 1 << 50

// parseOptions reads the options of the create command and returns them parsed
// and as listCollections shows them.
func parseOptions(ns string, raw bson.Raw, roundSize bool) (options, bson.Raw, error) {
	p := optionParser{ns: ns, opts: options{level: "strict", action: "error"}, roundSize: roundSize, shown: make([]byte, 4, len(raw)+32)}
	if len(raw) == 0 {
		raw = emptyDoc()
	}
	if err := eachElement(raw, p.option); err != nil {
		return options{}, nil, err
	}
	if err := p.opts.check(); err != nil {
		return options{}, nil, err
	}
	if err := p.opts.checkIDCollation(); err != nil {
		return options{}, nil, err
	}
	if p.opts.viewOn != "" {
		return p.opts, p.opts.shownView(), nil
	}
	return p.opts, finishDoc(p.shown), nil
}

type optionParser struct {
	ns        string
	opts      options
	roundSize bool
	shown     []byte
}

func (p *optionParser) option(key string, v bson.RawValue) error {
	shown, err := p.parse(key, v)
	if err == nil && shown.Type != 0 {
		p.shown = value.Append(p.shown, key, shown)
	}
	return err
}

// parse returns the value to show; one without type hides the option.
func (p *optionParser) parse(key string, v bson.RawValue) (bson.RawValue, error) {
	o := &p.opts
	var err error
	switch key {
	case "capped":
		o.capped = value.Truthy(v)
		return shownIf(value.Bool(true), o.capped), nil
	case "size":
		o.hasSize = true
		o.size, err = cappedSize(v)
		if p.roundSize {
			o.size = (o.size + 255) / 256 * 256
		}
		return value.Integer(o.size), err
	case "max":
		o.hasMax = true
		o.maxDocs, err = cappedMax(v)
		return value.Integer(o.maxDocs), err
	case "clusteredIndex":
		if v.Type != bson.TypeEmbeddedDocument && !value.Truthy(v) {
			o.clustered = o.capped
			return bson.RawValue{}, nil
		}
		if v.Type == bson.TypeBoolean && isBuckets(p.ns) {
			o.clustered, o.clusteredIndex = true, value.D("v", int32(2), "key", value.D(idField, int32(1)), "name", idIndexName, "unique", true)
			return v, nil // as the server writes it of buckets
		}
		err = o.setClustered(v)
		return value.Doc(o.clusteredIndex), err
	case "expireAfterSeconds":
		err = o.setExpire(v)
		if o.expireAfter != nil {
			v = value.Int64(*o.expireAfter)
		}
		return v, err
	case "validator", "validationLevel", "validationAction":
		return v, o.setValidation(key, v)
	case "changeStreamPreAndPostImages":
		return o.setImages(v)
	case "viewOn", "pipeline":
		return v, o.setView(key, v)
	case "collation":
		if v.Type == bson.TypeNull {
			return bson.RawValue{}, nil
		}
		d, err := documentOption(key, v)
		if err != nil {
			return v, err
		}
		o.coll, err = collation.Parse(d)
		return shownIf(value.Doc(o.coll.Doc()), o.coll != nil), err
	case "timeseries":
		d, err := documentOption(key, v)
		if err != nil {
			return v, err
		}
		series, err := timeseries.Parse(d)
		o.series = &series
		return value.Doc(series.Document()), err
	case "idIndex", "autoIndexId":
		o.hasIDIndex = o.hasIDIndex || key == "idIndex"
		if d, ok := v.DocumentOK(); ok {
			o.idCollation, _ = value.Get(d, "collation")
		}
		return bson.RawValue{}, nil // every collection has the plain _id index
	case "temp", "storageEngine", "indexOptionDefaults", "encryptedFields", "recordIdsReplicated":
		return v, nil
	}
	return v, mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'create.%s' is an unknown field.", key)
}

func shownIf(v bson.RawValue, show bool) bson.RawValue {
	if show {
		return v
	}
	return bson.RawValue{}
}

func documentOption(key string, v bson.RawValue) (bson.Raw, error) {
	d, ok := v.DocumentOK()
	if !ok {
		return nil, wrongOptionType(key, v, "object")
	}
	return d, nil
}

func wrongOptionType(key string, v bson.RawValue, want string) error {
	return mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s' is the wrong type '%s', expected type '%s'", key, v.Type, want)
}

// cappedSize reads the size limit of a capped collection in bytes.
func cappedSize(v bson.RawValue) (int64, error) {
	n, ok := value.AsInt64(v)
	if !ok {
		return 0, wrongOptionType("size", v, "long")
	}
	if n < 1 || n > maxCappedSize {
		return 0, mongoerr.New(mongoerr.BadValue, "Capped collection size must be within [1, %d]", int64(maxCappedSize))
	}
	return n, nil
}

// cappedMax reads the document limit of a capped collection; 0 and less mean
// any number.
func cappedMax(v bson.RawValue) (int64, error) {
	n, ok := value.AsInt64(v)
	switch {
	case !ok:
		return 0, wrongOptionType("max", v, "long")
	case n > math.MaxInt32:
		return 0, mongoerr.New(mongoerr.BadValue, "max in a capped collection has to be < 2^31 or not set")
	}
	return max(n, 0), nil
}

func (o *options) setClustered(v bson.RawValue) error {
	o.clustered = true
	name, key, unique := idIndexName, bson.Raw(nil), true
	if v.Type != bson.TypeBoolean {
		d, err := documentOption("clusteredIndex", v)
		if err != nil {
			return err
		}
		if n, ok := value.Get(d, "name"); ok {
			name = n.StringValue()
		}
		k, _ := value.Get(d, "key")
		key, _ = k.DocumentOK()
		u, _ := value.Get(d, "unique")
		unique = value.Truthy(u)
	}
	if !unique {
		return mongoerr.New(5979700, "The clusteredIndex option requires unique: true to be specified")
	}
	fields, err := parsePattern(key)
	if err != nil || len(fields) != 1 || fields[0].name != idField || fields[0].desc {
		return mongoerr.New(mongoerr.InvalidIndexSpecificationOption,
			"The clusteredIndex option is only supported for key: {_id: 1}")
	}
	o.clusteredIndex = value.D("v", int32(2), "key", key, "name", name, "unique", true)
	return nil
}

func (o *options) setExpire(v bson.RawValue) error {
	seconds, ok := value.AsInt64(v)
	if !ok || seconds < 0 || seconds > noExpiry {
		return mongoerr.New(mongoerr.InvalidOptions, "'expireAfterSeconds' must be within the range 0 to %d", noExpiry)
	}
	o.expireAfter = &seconds
	return nil
}

func (o *options) setValidation(key string, v bson.RawValue) error {
	if key == "validator" {
		d, err := documentOption(key, v)
		o.validator = d
		if len(d) <= len(emptyDoc()) {
			o.validator = nil
		}
		return err
	}
	s, ok := v.StringValueOK()
	allowed := map[string]bool{"off": true, "strict": true, "moderate": true}
	if key == "validationAction" {
		allowed = map[string]bool{"error": true, "warn": true, "errorAndLog": true}
	}
	if !ok || !allowed[s] {
		return mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field 'create.%s' is not a valid value.", s, key)
	}
	if key == "validationAction" {
		o.action = s
	} else {
		o.level = s
	}
	return nil
}

func (o *options) setImages(v bson.RawValue) (bson.RawValue, error) {
	d, err := documentOption("changeStreamPreAndPostImages", v)
	if err != nil {
		return v, err
	}
	enabled, ok := value.Get(d, "enabled")
	if !ok || enabled.Type != bson.TypeBoolean {
		return v, mongoerr.New(mongoerr.IDLFailedToParse,
			"BSON field 'changeStreamPreAndPostImages.enabled' is missing but a required field")
	}
	o.images = enabled.Boolean()
	return shownIf(v, o.images), nil
}

func (o *options) setView(key string, v bson.RawValue) error {
	if key == "pipeline" {
		if v.Type != bson.TypeArray {
			return wrongOptionType(key, v, "array")
		}
		o.pipeline = bson.Raw(v.Value)
		return nil
	}
	on, ok := v.StringValueOK()
	if !ok {
		return wrongOptionType(key, v, "string")
	}
	if on == "" {
		return mongoerr.New(mongoerr.BadValue, "'viewOn' cannot be empty")
	}
	o.viewOn = on
	return nil
}

// shownView renders the options of a view.
func (o *options) shownView() bson.Raw {
	if o.pipeline == nil {
		o.pipeline = emptyDoc()
	}
	shown := value.D("viewOn", o.viewOn, "pipeline", value.Array(o.pipeline))
	if o.coll != nil {
		shown = with(shown, "collation", value.Doc(o.coll.Doc()))
	}
	return shown
}

// check refuses combinations of options.
func (o *options) check() error {
	invalid := func(why string) error { return mongoerr.New(mongoerr.InvalidOptions, "%s", why) }
	switch {
	case o.clustered && o.capped:
		return mongoerr.New(6049200, "A capped collection cannot be clustered")
	case o.clustered && o.viewOn != "":
		return mongoerr.New(6026500, "The 'clusteredIndex' option is not supported with views")
	case o.clustered && o.hasMax:
		return mongoerr.New(6049204, "The 'max' option is not supported on clustered collections")
	case o.hasIDIndex && (o.viewOn != "" || o.clustered):
		return invalid("the 'idIndex' option is not supported on views and clustered collections")
	case o.viewOn != "" && o.images:
		return invalid("options not supported on views")
	case o.viewOn == "" && o.pipeline != nil:
		return invalid("'pipeline' requires 'viewOn' to also be specified")
	case o.viewOn != "":
		return nil // the other options of collections mean nothing here
	case o.capped && !o.hasSize:
		return invalid("the 'size' field is required when 'capped' is true")
	case !o.capped && (o.hasSize || o.hasMax):
		return invalid("the 'capped' field needs to be true when either the 'size' or 'max' fields are present")
	case o.series != nil && o.expireAfter != nil && *o.expireAfter > time.Now().Unix():
		return invalid("TTL index 'expireAfterSeconds' option must be within an acceptable range, try a different value")
	case o.expireAfter != nil && !o.clustered && o.series == nil:
		return invalid("'expireAfterSeconds' is only supported on time-series collections or when the 'clusteredIndex' option is specified")
	}
	return nil
}
