package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/text"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// TextUse says whether a filter may have $text.
type TextUse int

// The uses of $text.
const (
	TextRefused TextUse = iota
	// TextAllowed leaves it to the caller to bind the Matcher WithText.
	TextAllowed
	// TextTooLate is for a $match that is not the first stage.
	TextTooLate
)

const (
	codeTextTooLate mongoerr.Code = 17313
	codeNoTextScore mongoerr.Code = 40218
)

// everyField stands in a text index's weights for all texts of a document.
const everyField = "$**"

// textSearch is the argument of $text.
type textSearch struct {
	search   string
	language string // "" is the index's
	o        text.Options
}

// textNode is $text. The search is that of the Matcher: a filter has one only.
type textNode struct{}

func (textNode) match(r *run, doc bson.Raw) (bool, error) {
	if r.text == nil {
		return false, mongoerr.New(mongoerr.IndexNotFound, "text index required for $text query")
	}
	_, ok := r.text.score(doc)
	return ok, nil
}

func (p *parser) text(arg bson.RawValue) (node, error) {
	switch {
	case p.o.Text == TextTooLate:
		return nil, mongoerr.New(codeTextTooLate, "$match with $text is only allowed as the first pipeline stage")
	case p.o.Text == TextRefused:
		return nil, badValue("$text is not allowed in this context")
	case p.elems > 0 || p.negations > 0:
		return nil, badValue("$text can only be applied to the top-level document")
	case p.search != nil:
		return nil, badValue("Too many text expressions")
	case arg.Type != bson.TypeEmbeddedDocument:
		return nil, badValue("$text expects an object")
	}
	s, err := parseTextSearch(bson.Raw(arg.Value))
	p.search = s
	return textNode{}, err
}

func parseTextSearch(arg bson.Raw) (*textSearch, error) {
	s := &textSearch{}
	found := false
	for name, v := range value.Elements(arg) {
		var err error
		switch name {
		case "$search":
			found = true
			s.search, err = textString(name, v)
		case "$language":
			if s.language, err = textString(name, v); err == nil && s.language != "" {
				s.o.Language, err = textLanguage(s.language)
			}
		case "$caseSensitive":
			s.o.CaseSensitive, err = textFlag(name, v)
		case "$diacriticSensitive":
			s.o.DiacriticSensitive, err = textFlag(name, v)
		default:
			err = badValue("extra fields in $text")
		}
		if err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, mongoerr.New(mongoerr.NoSuchKey, "Missing expected field \"$search\"")
	}
	return s, nil
}

func textString(name string, v bson.RawValue) (string, error) {
	s, ok := v.StringValueOK()
	if !ok {
		return "", mongoerr.New(mongoerr.TypeMismatch, "\"%s\" had the wrong type. Expected string, found %s", name, rawdoc.TypeName(v.Type))
	}
	return s, nil
}

func textFlag(name string, v bson.RawValue) (bool, error) {
	b, ok := v.BooleanOK()
	if !ok {
		return false, mongoerr.New(mongoerr.TypeMismatch, "\"%s\" had the wrong type. Expected bool, found %s", name, rawdoc.TypeName(v.Type))
	}
	return b, nil
}

func textLanguage(name string) (text.Language, error) {
	l, ok := text.LanguageOf(name)
	if !ok {
		return 0, badValue("unsupported language: \"%s\" for text index version 3", name)
	}
	return l, nil
}

// boundText is a search together with the index that says which fields count.
type boundText struct {
	search   *text.Search
	language text.Language
	weights  bson.Raw
}

// HasText reports whether the filter has a $text, without being bound.
func (m *Matcher) HasText() bool { return m.search != nil }

// WithText binds the filter's $text to a text index, given as its
// specification. m itself stays as it is.
func (m *Matcher) WithText(index bson.Raw) (*Matcher, error) {
	b := &boundText{}
	name, _ := value.Get(index, "default_language")
	weights, _ := value.Get(index, "weights")
	b.weights = weights.Value
	s, _ := name.StringValueOK()
	var err error
	if b.language, err = textLanguage(s); err != nil {
		return nil, err
	}
	o := m.search.o
	if m.search.language == "" {
		o.Language = b.language
	}
	b.search = text.Parse(m.search.search, o)
	bound := *m
	bound.text = b
	return &bound, nil
}

func (b *boundText) score(doc bson.Raw) (float64, bool) {
	var fields []text.Field
	for name, w := range value.Elements(b.weights) {
		weight, _ := value.AsFloat64(w)
		if name == everyField {
			fields = appendTexts(fields, value.Doc(doc), weight, true)
			continue
		}
		for _, v := range value.LookupAll(doc, name) {
			fields = appendTexts(fields, v, weight, false)
		}
	}
	return b.search.Score(fields, b.language)
}

// appendTexts adds the text that v is, or the texts that it holds.
func appendTexts(fields []text.Field, v bson.RawValue, weight float64, deep bool) []text.Field {
	if s, ok := v.StringValueOK(); ok {
		return append(fields, text.Field{Text: strings.ToValidUTF8(s, ""), Weight: weight})
	}
	if v.Type == bson.TypeArray || deep && v.Type == bson.TypeEmbeddedDocument {
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			fields = appendTexts(fields, e, weight, deep)
		}
	}
	return fields
}

// textScore returns how well a document fits the filter's $text.
func (m *Matcher) textScore(doc bson.Raw) bson.RawValue {
	score, _ := m.text.score(doc)
	return value.Double(score)
}

// checkTextScore refuses {$meta: ...} other than the score of the filter's
// $text.
func (m *Matcher) checkTextScore(arg bson.RawValue) error {
	if s, _ := arg.StringValueOK(); s != "textScore" {
		return badValue("$meta: %s is not supported", rawdoc.Render(arg))
	}
	if m == nil || m.text == nil {
		return mongoerr.New(codeNoTextScore, "query requires text score metadata, but it is not available")
	}
	return nil
}
