package storage

import (
	"fmt"
	"math"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const (
	idIndexName = "_id_"
	// noExpiry is what the server makes of an expireAfterSeconds of NaN.
	noExpiry = math.MaxInt32
)

// newIndex returns an index without a specification or data.
func newIndex() *Index {
	return &Index{data: &indexData{}, uses: &IndexUses{Since: time.Now()}}
}

// parseIndex reads an element of createIndexes' indexes into an index without
// data, of a collection with the collation coll.
func parseIndex(spec bson.Raw, coll *collation.Collation) (*Index, error) {
	ix := newIndex()
	p := specParser{ix: ix, spec: spec}
	if err := eachElement(spec, p.option); err != nil {
		return nil, err
	}
	p.inherit(coll)
	if err := p.filter(); err != nil {
		return nil, err
	}
	if ix.Key == nil {
		return nil, mongoerr.New(mongoerr.FailedToParse,
			"Error in specification %s :: caused by :: The 'key' field is a required property of an index specification",
			render(spec))
	}
	given := ix.Key
	p.readText()
	var err error
	if ix.fields, err = parsePattern(ix.Key); err != nil {
		return nil, fmt.Errorf("index specification %s: %w", render(spec), err)
	}
	p.specialDefaults()
	if ix.Name == "" {
		return nil, mongoerr.New(mongoerr.FailedToParse,
			"Error in specification %s :: caused by :: The 'name' field is a required property of an index specification",
			render(spec))
	}
	ix.Spec = finishDoc(append(p.head(), p.rest...))
	for _, check := range []func() error{ix.checkWildcard, ix.checkOptions, ix.checkCollation} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return ix, ix.check(given)
}

// specParser collects the options of an index specification.
type specParser struct {
	ix   *Index
	spec bson.Raw
	rest []byte // the options beside v, key and name, as listIndexes shows them
	// ownCollation says that the specification has a collation, if only the
	// simple one.
	ownCollation bool
}

func (p *specParser) head() []byte {
	dst := make([]byte, 4, len(p.spec)+16)
	dst = value.Append(dst, "v", value.Int32(2))
	dst = value.Append(dst, "key", value.Doc(p.ix.Key))
	return value.Append(dst, "name", value.String(p.ix.Name))
}

func (p *specParser) option(key string, v bson.RawValue) error {
	ix := p.ix
	var err error
	switch key {
	case "v":
		return p.version(v)
	case "ns", "dropDups":
		return nil // of old servers; accepted and forgotten
	case "key":
		ix.Key, err = p.document(key, v)
		return err
	case "name":
		name, ok := v.StringValueOK()
		if !ok {
			return p.wrongType(key, v)
		}
		if name == "" {
			return mongoerr.New(mongoerr.CannotCreateIndex, "Error in specification %s :: caused by :: index name cannot be empty", render(p.spec))
		}
		ix.Name = name
		return nil
	case "collation":
		return p.collation(v)
	case "unique":
		ix.Unique, err = p.flag(key, v)
	case "sparse":
		ix.Sparse, err = p.flag(key, v)
	case "hidden":
		if v.Type != bson.TypeBoolean {
			return p.wrongType(key, v)
		}
		ix.Hidden = v.Boolean()
	case "prepareUnique":
		ix.prepareUnique, err = p.flag(key, v)
	case "background":
		_, err = p.flag(key, v)
	case "storageEngine":
		_, err = p.document(key, v)
	case "partialFilterExpression":
		err = p.partial(v)
	case "expireAfterSeconds":
		v, err = p.expire(v)
	case textWeights, "default_language", "language_override", "textIndexVersion", "2dsphereIndexVersion", "bits", "min", "max":
		err = p.specialOption(key, v)
	case wildcardProjection, timeseries.OriginalSpec:
		_, err = p.document(key, v)
	default:
		return mongoerr.New(mongoerr.InvalidIndexSpecificationOption,
			"The field '%s' is not valid for an index specification. Specification: %s", key, render(p.spec))
	}
	if err == nil && keepsOption(key, v) {
		p.rest = value.Append(p.rest, key, v)
	}
	return err
}

// keepsOption leaves out the options whose value means their absence.
func keepsOption(key string, v bson.RawValue) bool {
	switch key {
	case "unique", "sparse", "hidden", "prepareUnique":
		return value.Truthy(v)
	}
	return true
}

func (p *specParser) version(v bson.RawValue) error {
	if n, ok := value.AsInt64(v); !ok || n != 1 && n != 2 {
		return mongoerr.New(mongoerr.CannotCreateIndex, "Invalid index specification %s; cannot create an index with v=%s",
			render(p.spec), renderValue(v))
	}
	return nil
}

func (p *specParser) document(key string, v bson.RawValue) (bson.Raw, error) {
	d, ok := v.DocumentOK()
	if !ok {
		return nil, p.wrongType(key, v)
	}
	return d, nil
}

func (p *specParser) flag(key string, v bson.RawValue) (bool, error) {
	if _, number := value.AsFloat64(v); !number && v.Type != bson.TypeBoolean {
		return false, p.wrongType(key, v)
	}
	return value.Truthy(v), nil
}

func (p *specParser) wrongType(key string, v bson.RawValue) error {
	return mongoerr.New(mongoerr.TypeMismatch, "Error in specification %s :: caused by :: "+
		"The field '%s' has the wrong type %s", render(p.spec), key, v.Type)
}

func (p *specParser) partial(v bson.RawValue) error {
	d, err := p.document("partialFilterExpression", v)
	if err != nil {
		return err
	}
	if err := checkPartial(d); err != nil {
		return err
	}
	p.ix.Partial = d
	return nil
}

// filter compiles the filter of a partial index, which compares strings as the
// index does.
func (p *specParser) filter() error {
	if p.ix.Partial == nil {
		return nil
	}
	var err error
	if p.ix.filter, err = query.Compile(p.ix.Partial, query.Options{Collation: p.ix.coll}); err != nil {
		return fmt.Errorf("partialFilterExpression of index %q: %w", p.ix.Name, err)
	}
	return nil
}

func (p *specParser) expire(v bson.RawValue) (bson.RawValue, error) {
	n, ok := value.AsFloat64(v)
	if !ok {
		return v, mongoerr.New(mongoerr.CannotCreateIndex, "TTL index 'expireAfterSeconds' option must be numeric, "+
			"but received a type of '%s'. Index spec: %s", v.Type, render(p.spec))
	}
	if math.IsNaN(n) {
		n, v = noExpiry, value.Int32(noExpiry)
	}
	if n < 0 || n > noExpiry {
		return v, mongoerr.New(mongoerr.CannotCreateIndex, "TTL index 'expireAfterSeconds' option must be within "+
			"0 and %d. Index spec: %s", noExpiry, render(p.spec))
	}
	seconds := int64(n)
	p.ix.expireAfter = &seconds
	return value.Int32(int32(seconds)), nil
}

// check refuses combinations that no collection may have. The key pattern is the
// given one: an index of one text field counts as one field, though it keeps two.
func (ix *Index) check(given bson.Raw) error {
	onID := len(ix.fields) == 1 && ix.fields[0].name == idField && !ix.fields[0].hashed
	switch {
	case onID && !ix.fields[0].desc && (ix.Sparse || ix.Partial != nil || ix.expireAfter != nil || ix.Hidden):
		return mongoerr.New(mongoerr.InvalidIndexSpecificationOption,
			"The specification of the _id index allows none of its options: %s", render(ix.Spec))
	case ix.Sparse && ix.Partial != nil:
		return mongoerr.New(mongoerr.CannotCreateIndex,
			"cannot mix \"partialFilterExpression\" and \"sparse\" options")
	case ix.Unique && ix.isSpecial():
		return mongoerr.New(mongoerr.CannotCreateIndex, "Index type does not support the unique option: %s", render(ix.Spec))
	case ix.Hashed() >= 0 && ix.Unique:
		return mongoerr.New(codeHashedUnique, "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.")
	case ix.expireAfter != nil && countFields(given) != 1:
		return mongoerr.New(mongoerr.CannotCreateIndex, "TTL indexes are single-field indexes, compound indexes do not "+
			"support TTL. Index spec: %s", render(ix.Spec))
	case ix.Unique && ix.prepareUnique:
		return mongoerr.New(mongoerr.CannotCreateIndex, "Index cannot be both unique and prepareUnique: %s", render(ix.Spec))
	case strings.Contains(ix.Name, "\x00") || ix.Name == "*":
		return mongoerr.New(mongoerr.BadValue, "The index name '%s' is not valid.", ix.Name)
	}
	return nil
}

func countFields(doc bson.Raw) int {
	n := 0
	for range value.Elements(doc) {
		n++
	}
	return n
}

const codeHashedUnique mongoerr.Code = 16764

// withOption returns a copy of ix with one option set in its specification and
// the same data. A nil value removes the option.
func (ix *Index) withOption(key string, v *bson.RawValue) (*Index, error) {
	spec := without(ix.Spec, key)
	if v != nil {
		spec = with(ix.Spec, key, *v)
	}
	n, err := parseIndex(spec, nil)
	if err != nil {
		return nil, err
	}
	n.data = ix.data
	if n.Hidden == ix.Hidden { // hiding and unhiding begin to count anew
		n.uses = ix.uses
	}
	return n, nil
}

// idIndex returns the index every collection has, in the form a clustered
// collection shows if clustered.
func idIndex(clusteredSpec bson.Raw, coll *collation.Collation) *Index {
	ix := newIndex()
	ix.Name, ix.Unique = idIndexName, true
	ix.Key = value.D(idField, int32(1))
	ix.fields = []indexField{{path: []string{idField}, name: idField}}
	ix.coll = coll
	if clusteredSpec == nil {
		ix.Spec = idIndexSpec(coll)
		return ix
	}
	name, _ := value.Get(clusteredSpec, "name")
	ix.Name, ix.clustered = name.StringValue(), true
	ix.Spec = value.D("v", int32(2), "key", ix.Key, "name", ix.Name, "unique", true, "clustered", true)
	if coll != nil {
		ix.Spec = with(ix.Spec, "collation", value.Doc(coll.Doc()))
	}
	return ix
}

func idIndexSpec(coll *collation.Collation) bson.Raw {
	spec := value.D("v", int32(2), "key", value.D(idField, int32(1)), "name", idIndexName)
	if coll != nil {
		spec = with(spec, "collation", value.Doc(coll.Doc()))
	}
	return spec
}

// relation says what an existing index means for the creation of another.
func (ix *Index) relation(have *Index) (exists bool, err error) {
	same := samePattern(ix.fields, have.fields) && ix.Unique == have.Unique && ix.Sparse == have.Sparse &&
		sameBytes(ix.Partial, have.Partial) && ix.coll.Same(have.coll) && sameWeights(ix, have) && sameProjection(ix, have)
	if have.isID() {
		same = samePattern(ix.fields, have.fields)
	}
	switch {
	case !same && ix.Special(textField) != "" && have.Special(textField) != "":
		return false, mongoerr.New(mongoerr.IndexOptionsConflict,
			"An equivalent index already exists with a different name and options. Requested index: %s, existing index: %s",
			render(ix.Spec), render(have.Spec))
	case !same && ix.Name != have.Name:
		return false, nil
	case !same:
		return false, mongoerr.New(mongoerr.IndexKeySpecsConflict, "An existing index has the same name as the "+
			"requested index. When index names are not specified, they are auto generated and can cause conflicts. "+
			"Please refer to our documentation. Requested index: %s, existing index: %s", render(ix.Spec), render(have.Spec))
	case have.isID():
		return true, nil
	case ix.Name != have.Name:
		return false, mongoerr.New(mongoerr.IndexOptionsConflict,
			"Index already exists with a different name: %s", have.Name)
	case !sameExpiry(ix.expireAfter, have.expireAfter), ix.Hidden != have.Hidden:
		return false, mongoerr.New(mongoerr.IndexOptionsConflict, "An equivalent index already exists with the same "+
			"name but different options. Requested index: %s, existing index: %s", render(ix.Spec), render(have.Spec))
	}
	return true, nil
}

func sameExpiry(a, b *int64) bool {
	return a == b || a != nil && b != nil && *a == *b
}
