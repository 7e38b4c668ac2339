package storage

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/geo"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The kinds of index that only operators of their own use. Here such an index
// says that these operators may be used and what a document may hold; it has
// an entry for each document, by the other fields of its key pattern, and the
// operators look at the documents.
const (
	kind2d       = "2d"
	kind2dsphere = "2dsphere"
	kindText     = "text"
)

// The two names that stand for all text fields in a text index's key pattern.
const (
	textField   = "_fts"
	textScore   = "_ftsx"
	textWeights = "weights"
)

const (
	codeNoGeoKeys     mongoerr.Code = 16755
	codeNoLocation    mongoerr.Code = 16804
	codeOutsideOfGrid mongoerr.Code = 13027
)

// Special returns the kind of index that serves the operators of a field: "2d",
// "2dsphere", "text", or "" for all others.
func (ix *Index) Special(field string) string {
	for _, f := range ix.fields {
		if f.name == field {
			return f.special
		}
	}
	return ""
}

// isSpecial reports whether any field has a kind of its own.
func (ix *Index) isSpecial() bool {
	for _, f := range ix.fields {
		if f.special != "" {
			return true
		}
	}
	return false
}

// readText turns the key pattern of a text index, such as {a: "text"}, into the
// form that is stored, and the fields into weights.
func (p *specParser) readText() {
	dst, weights, found := make([]byte, 4, 64), make([]byte, 4, 64), false
	given, _ := value.Get(p.spec, textWeights)
	for name, v := range value.Elements(p.ix.Key) {
		if s, ok := v.StringValueOK(); !ok || s != kindText || name == textField {
			dst = value.Append(dst, name, v)
			continue
		}
		if !found {
			dst = value.Append(dst, textField, value.String(kindText))
			dst = value.Append(dst, textScore, value.Int32(1))
		}
		found = true
		if _, weighted := value.Get(given.Value, name); !weighted {
			weights = value.Append(weights, name, value.Int32(1))
		}
	}
	if found {
		p.ix.Key = finishDoc(dst)
		for name, v := range value.Elements(given.Value) {
			weights = value.Append(weights, name, v)
		}
		p.rest = without(finishDoc(append(make([]byte, 4), p.rest...)), textWeights)[4:]
		p.rest = value.Append(p.rest[:len(p.rest)-1], textWeights, value.Doc(finishDoc(weights)))
	}
}

// specialDefaults adds the options that listings show although nobody gave
// them.
func (p *specParser) specialDefaults() {
	add := func(key string, v bson.RawValue) {
		if _, given := value.Get(p.spec, key); !given {
			p.rest = value.Append(p.rest, key, v)
		}
	}
	for _, f := range p.ix.fields {
		switch f.special {
		case kindText:
			add("default_language", value.String("english"))
			add("language_override", value.String("language"))
			add("textIndexVersion", value.Int32(3))
			return
		case kind2dsphere, timeseries.SphereBuckets:
			add("2dsphereIndexVersion", value.Int32(3))
			return
		}
	}
}

// sameWeights reports whether two text indexes are about the same fields.
func sameWeights(a, b *Index) bool {
	x, _ := value.Get(a.Spec, textWeights)
	y, _ := value.Get(b.Spec, textWeights)
	return sameBytes(x.Value, y.Value)
}

// specialOption checks the options of special indexes, which are kept as they
// are.
func (p *specParser) specialOption(key string, v bson.RawValue) error {
	ok := value.IsNumber(v.Type)
	switch key {
	case textWeights:
		ok = v.Type == bson.TypeEmbeddedDocument
	case "default_language", "language_override":
		ok = v.Type == bson.TypeString
	}
	if !ok {
		return p.wrongType(key, v)
	}
	return nil
}

// checkSpecial refuses documents whose places an index cannot take.
func (ix *Index) checkSpecial(doc bson.Raw) error {
	for _, f := range ix.fields {
		if f.special != kind2d && f.special != kind2dsphere {
			continue
		}
		for _, v := range value.LookupAll(doc, f.name) {
			if v.Type == bson.TypeNull || v.Type == bson.TypeUndefined {
				continue
			}
			if err := ix.checkPlace(f, doc, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ix *Index) checkPlace(f indexField, doc bson.Raw, v bson.RawValue) error {
	err := ix.takes(f, doc, v)
	if err == nil || v.Type != bson.TypeArray {
		return err
	}
	for _, e := range value.Elements(v.Value) { // an array of places
		if e.Type != bson.TypeArray && e.Type != bson.TypeEmbeddedDocument {
			return err
		}
		if err := ix.takes(f, doc, e); err != nil {
			return err
		}
	}
	return nil
}

// takes checks one place.
func (ix *Index) takes(f indexField, doc bson.Raw, v bson.RawValue) error {
	g, err := geo.ParseStored(v)
	if f.special == kind2dsphere {
		if err == nil && g.Spherical() && !g.Strict() {
			return nil
		}
		reason := "the shape has no place on an indexed sphere"
		if err != nil {
			reason = mongoerr.From(err).Message
		}
		return mongoerr.New(codeNoGeoKeys, "Can't extract geo keys: %s  %s", render(doc), reason)
	}
	if err != nil {
		return mongoerr.New(codeNoLocation, "location object expected, location array not in correct format")
	}
	low, high := ix.option("min", -180), ix.option("max", 180)
	if p, ok := g.Point(); ok && (math.Min(p.X, p.Y) < low || math.Max(p.X, p.Y) > high) {
		return mongoerr.New(codeOutsideOfGrid, "point not in interval of [ %v, %v ] :: caused by :: %s", low, high, render(doc))
	}
	return nil
}

func (ix *Index) option(key string, otherwise float64) float64 {
	if v, ok := value.Get(ix.Spec, key); ok {
		otherwise, _ = value.AsFloat64(v)
	}
	return otherwise
}
