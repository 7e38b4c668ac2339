package collation

import (
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Version is the version of ICU that the servers from 3.4 to 8.x have.
const Version = "57.1"

// simple is the locale of the simple collation.
const simple = "simple"

// settings are the fields of a collation document.
type settings struct {
	locale          string
	caseLevel       bool
	caseFirst       string
	strength        int
	numericOrdering bool
	alternate       string
	maxVariable     string
	normalization   bool
	backwards       bool
}

// Parse reads a collation document. The simple collation is nil. Errors are
// those of the server: TypeMismatch, BadValue, IDLUnknownField,
// IncompatibleCollationVersion and so on; and CommandNotSupported for the
// locales whose rules x/text does not have.
func Parse(doc bson.Raw) (*Collation, error) {
	given, err := read(doc)
	if err != nil {
		return nil, err
	}
	locale := given["locale"].StringValue()
	if locale == simple {
		return nil, nil
	}
	lang, err := findLanguage(locale, doc)
	if err != nil {
		return nil, err
	}
	c := &Collation{lang: lang, spec: defaults(locale)}
	if err := c.spec.take(given); err != nil {
		return nil, err
	}
	if v, ok := given["version"]; ok && v.StringValue() != Version {
		return nil, mongoerr.New(mongoerr.IncompatibleCollationVersion, "Requested collation version %s but the only available "+
			"collator version was %s. Requested collation spec: %s", v.StringValue(), Version, rawdoc.RenderDoc(doc))
	}
	c.doc = c.spec.full()
	if err := c.spec.check(c.doc); err != nil {
		return nil, err
	}
	if lang.missing {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "the rules of locale '%s' are not supported by this simulated server: %s",
			locale, rawdoc.RenderDoc(doc))
	}
	c.weigher = sync.Pool{New: func() any { return newWeigher(lang) }}
	return c, nil
}

// fieldTypes are the types of the fields; the first one names the type in
// messages.
var fieldTypes = map[string][]bson.Type{
	"locale": {bson.TypeString}, "caseLevel": {bson.TypeBoolean}, "caseFirst": {bson.TypeString},
	"strength":        {bson.TypeInt64, bson.TypeInt32, bson.TypeDecimal128, bson.TypeDouble},
	"numericOrdering": {bson.TypeBoolean}, "alternate": {bson.TypeString}, "maxVariable": {bson.TypeString},
	"normalization": {bson.TypeBoolean}, "backwards": {bson.TypeBoolean}, "version": {bson.TypeString},
}

// read checks the types of the fields. Null counts as missing except for
// backwards, which the server reads as an optional boolean.
func read(doc bson.Raw) (map[string]bson.RawValue, error) {
	given := map[string]bson.RawValue{}
	for name, v := range value.Elements(doc) {
		types, known := fieldTypes[name]
		if !known {
			return nil, mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'collation.%s' is an unknown field.", name)
		}
		if name != "backwards" && (v.Type == bson.TypeNull || v.Type == bson.TypeUndefined) {
			continue
		}
		if !contains(types, v.Type) {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'collation.%s' is the wrong type '%s', expected %s",
				name, rawdoc.TypeName(v.Type), expected(types))
		}
		given[name] = v
	}
	if _, ok := given["locale"]; !ok {
		return nil, mongoerr.New(mongoerr.IDLFailedToParse, "BSON field 'collation.locale' is missing but a required field")
	}
	return given, nil
}

func contains(types []bson.Type, t bson.Type) bool {
	for _, o := range types {
		if o == t {
			return true
		}
	}
	return false
}

func expected(types []bson.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = rawdoc.TypeName(t)
	}
	if len(names) == 1 {
		return "type '" + names[0] + "'"
	}
	return "types '[" + strings.Join(names, ", ") + "]'"
}

// take sets what the document says; the rest stays as the locale has it.
func (s *settings) take(given map[string]bson.RawValue) error {
	for name, dst := range map[string]*bool{
		"caseLevel": &s.caseLevel, "numericOrdering": &s.numericOrdering, "normalization": &s.normalization, "backwards": &s.backwards,
	} {
		if v, ok := given[name]; ok {
			*dst = v.Boolean()
		}
	}
	for _, e := range []struct {
		name    string
		dst     *string
		allowed []string
	}{
		{"caseFirst", &s.caseFirst, []string{"upper", "lower", "off"}},
		{"alternate", &s.alternate, []string{"non-ignorable", "shifted"}},
		{"maxVariable", &s.maxVariable, []string{"punct", "space"}},
	} {
		v, ok := given[e.name]
		if !ok {
			continue
		}
		*e.dst = v.StringValue()
		if !strings.Contains(" "+strings.Join(e.allowed, " ")+" ", " "+*e.dst+" ") {
			return mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field 'collation.%s' is not a valid value.", *e.dst, e.name)
		}
	}
	if v, ok := given["strength"]; ok {
		n, _ := value.AsInt64(v)
		switch {
		case n < 0:
			return mongoerr.New(mongoerr.BadValue, "BSON field 'strength' value must be >= 0, actual value '%d'", n)
		case n > 5:
			return mongoerr.New(mongoerr.BadValue, "BSON field 'strength' value must be <= 5, actual value '%d'", n)
		case n == 0:
			return mongoerr.New(mongoerr.BadValue, "Enumeration value '0' for field 'collation.strength' is not a valid value.")
		}
		s.strength = int(n)
	}
	return nil
}

// check refuses settings that have no effect together.
func (s *settings) check(full bson.Raw) error {
	switch {
	case s.backwards && s.strength == 1:
		return mongoerr.New(mongoerr.BadValue, "'backwards' is invalid with 'strength' of 1 in: %s", rawdoc.RenderDoc(full))
	case s.caseFirst != "off" && !s.caseLevel && s.strength <= 2:
		return mongoerr.New(mongoerr.BadValue, "'caseFirst' is invalid unless 'caseLevel' is on or 'strength' is greater than 2 in: %s",
			rawdoc.RenderDoc(full))
	}
	return nil
}

func (s *settings) full() bson.Raw {
	return value.D("locale", s.locale, "caseLevel", s.caseLevel, "caseFirst", s.caseFirst, "strength", int32(s.strength),
		"numericOrdering", s.numericOrdering, "alternate", s.alternate, "maxVariable", s.maxVariable,
		"normalization", s.normalization, "backwards", s.backwards, "version", Version)
}
