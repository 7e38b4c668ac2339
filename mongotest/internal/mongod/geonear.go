package mongod

import (
	"context"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes for arguments of $geoNear.
const (
	nearNotObject          mongoerr.Code = 10065
	nearDistanceField      mongoerr.Code = 16606
	nearIncludeLocs        mongoerr.Code = 16607
	nearRemovedOption      mongoerr.Code = 50858
	nearRequired           mongoerr.Code = 5860400
	nearWrongType          mongoerr.Code = 5860401
	nearNotConstant        mongoerr.Code = 5860402
	nearMinNotConstant     mongoerr.Code = 7555701
	nearMaxNotConstant     mongoerr.Code = 7555702
	nearDistanceNotANumber               = mongoerr.TypeMismatch
)

// geoNear is a parsed $geoNear: the documents of a collection by their distance
// from a point.
type geoNear struct {
	near          bson.RawValue
	distanceField string
	includeLocs   string
	key           string // the field with the places; "" takes that of the only index
	query         bson.Raw
	min, max      bson.RawValue // type 0: not given
	multiplier    float64
	spherical     bool
}

func parseGeoNear(v bson.RawValue, lang *language) (geoNear, error) {
	g := geoNear{multiplier: 1}
	if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
		return g, mongoerr.New(nearNotObject, "the $geoNear stage must take an object, not %s", value.TypeName(v.Type))
	}
	if bson.Raw(v.Value).Lookup("near").Type == 0 {
		return g, mongoerr.New(nearRequired, "$geoNear requires a 'near' argument")
	}
	for name, v := range value.Elements(v.Value) {
		if err := g.option(name, v, lang); err != nil {
			return g, err
		}
	}
	return g, nil
}

func (g *geoNear) option(name string, v bson.RawValue, lang *language) (err error) {
	switch name {
	case "near":
		g.near, err = lang.constant(v, nearNotConstant, "near")
		if err == nil && g.near.Type != bson.TypeEmbeddedDocument && g.near.Type != bson.TypeArray {
			err = mongoerr.New(nearWrongType, "$geoNear requires near argument to be an object or an array, not %s", value.TypeName(g.near.Type))
		}
	case "distanceField":
		g.distanceField, err = pathOption(name, v, nearDistanceField)
	case "includeLocs":
		g.includeLocs, err = pathOption(name, v, nearIncludeLocs)
	case "key":
		if s, ok := v.StringValueOK(); ok && s == "" {
			return mongoerr.New(mongoerr.BadValue, "$geoNear parameter 'key' cannot be the empty string")
		}
		g.key, err = pathOption(name, v, mongoerr.TypeMismatch)
	case "query":
		var ok bool
		if g.query, ok = v.DocumentOK(); !ok {
			err = mongoerr.New(mongoerr.TypeMismatch, "expected 'query' to be an object, not %s", value.TypeName(v.Type))
		}
	case "minDistance":
		g.min, err = lang.distance(name, v, nearMinNotConstant)
	case "maxDistance":
		g.max, err = lang.distance(name, v, nearMaxNotConstant)
	case "distanceMultiplier":
		f, ok := value.AsFloat64(v)
		switch {
		case !ok:
			err = mongoerr.New(mongoerr.TypeMismatch, "expected 'distanceMultiplier' to be a number, not %s", value.TypeName(v.Type))
		case !(f >= 0):
			err = mongoerr.New(mongoerr.BadValue, "distanceMultiplier must be nonnegative, not %v", f)
		}
		g.multiplier = f
	case "spherical":
		g.spherical = value.Truthy(v)
	case "uniqueDocs":
	case "limit", "num", "start":
		err = mongoerr.New(nearRemovedOption, "$geoNear no longer supports the '%s' parameter. Use a $limit stage instead", name)
	default:
		err = mongoerr.New(mongoerr.BadValue, "Unknown argument to $geoNear: %s", name)
	}
	return err
}

// pathOption reads the path of a field.
func pathOption(name string, v bson.RawValue, notString mongoerr.Code) (string, error) {
	s, ok := v.StringValueOK()
	if !ok {
		return "", mongoerr.New(notString, "$geoNear requires a '%s' option as a String, not %s", name, value.TypeName(v.Type))
	}
	return s, aggregate.CheckPath(s)
}

// constant evaluates an expression that must not depend on a document.
func (l *language) constant(v bson.RawValue, notConstant mongoerr.Code, what string) (bson.RawValue, error) {
	if aggregate.DependsOnDocument(v) {
		return v, mongoerr.New(notConstant, "$geoNear requires a constant %s argument", what)
	}
	return l.eval(v, emptyDoc())
}

func (l *language) distance(name string, v bson.RawValue, notConstant mongoerr.Code) (bson.RawValue, error) {
	v, err := l.constant(v, notConstant, name)
	if err != nil {
		return v, err
	}
	f, ok := value.AsFloat64(v)
	switch {
	case !ok:
		return v, mongoerr.New(nearDistanceNotANumber, "%s must be a number, not %s", name, value.TypeName(v.Type))
	case !(f >= 0):
		return v, mongoerr.New(mongoerr.BadValue, "%s must be non-negative", name)
	case math.IsInf(f, 0):
		v = value.Double(math.MaxFloat64)
	}
	return v, nil
}

// condition is the stage as a condition of a filter.
func (g *geoNear) condition() bson.Raw {
	limits := func(pairs ...any) bson.Raw {
		return value.D(append(pairs, "$minDistance", g.min, "$maxDistance", g.max)...)
	}
	geoJSON := bson.Raw(g.near.Value).Lookup("type").Type != 0 || bson.Raw(g.near.Value).Lookup("coordinates").Type != 0
	switch {
	case g.near.Type == bson.TypeEmbeddedDocument && geoJSON:
		return value.D("$nearSphere", limits("$geometry", g.near))
	case g.spherical:
		return limits("$nearSphere", g.near)
	default:
		return limits("$near", g.near)
	}
}

// field returns the field with the places.
func (g *geoNear) field(c *storage.Collection) (string, error) {
	if g.key != "" {
		return g.key, nil
	}
	for _, kind := range []string{"2d", "2dsphere"} {
		var fields []string
		for _, ix := range c.Indexes() {
			for name, v := range value.Elements(ix.Key) {
				if s, ok := v.StringValueOK(); ok && s == kind && !ix.Hidden {
					fields = append(fields, name)
				}
			}
		}
		switch len(fields) {
		case 0:
		case 1:
			return fields[0], nil
		default:
			return "", mongoerr.New(mongoerr.IndexNotFound, "There is more than one %s index on %s; unsure which to use for $geoNear", kind, c.NS)
		}
	}
	return "", mongoerr.New(mongoerr.IndexNotFound, "$geoNear requires a 2d or 2dsphere index, but none were found")
}

// geoNearSource is the source of a pipeline that begins with $geoNear.
func (op *operation) geoNearSource(tx *storage.Tx, coll string, spec bson.RawValue, feed *docFeed, lang *language, a aggregateCommand) (aggregate.Source, error) {
	g, err := parseGeoNear(spec, lang)
	if err != nil {
		return nil, err
	}
	ns := op.req.DB + "." + coll
	c := tx.Collection(ns)
	if c == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "$geoNear requires a geo index to run, but %s does not exist", ns)
	}
	if m, err := lang.stageFilter(g.query, false); err != nil {
		return nil, err
	} else if m.HasText() {
		return nil, mongoerr.New(mongoerr.BadValue, "$text is not allowed inside of a $geoNear query")
	}
	field, err := g.field(c)
	if err != nil {
		return nil, err
	}
	f := findCommand{coll: coll, wanted: wanted{hint: a.hint}}
	near := value.D(field, g.condition())
	f.wanted.filter = near
	if !isEmpty(g.query) {
		f.wanted.filter = value.D("$and", []bson.Raw{near, g.query})
	}
	if f.wanted.matcher, err = lang.filter(f.wanted.filter); err != nil {
		return nil, err
	}
	src, _, err := op.findSource(tx, c, f, &cursor{ns: ns}, feed)
	if err != nil {
		return nil, err
	}
	n := f.wanted.matcher.Near()
	return &nearSource{src: nearestFirst(src, n), near: n, spec: g}, nil
}

// nearSource adds to each document what $geoNear tells of it.
type nearSource struct {
	src  aggregate.Source
	near *query.Near
	spec geoNear
}

// Next implements aggregate.Source.
func (s *nearSource) Next(ctx context.Context) (bson.Raw, error) {
	doc, err := s.src.Next(ctx)
	if doc == nil || err != nil {
		return nil, err
	}
	d, _ := s.near.Distance(doc)
	at := s.near.Nearest(doc)
	if s.spec.distanceField != "" {
		doc = setPath(doc, strings.Split(s.spec.distanceField, "."), value.Double(d*s.spec.multiplier))
	}
	if s.spec.includeLocs != "" {
		doc = setPath(doc, strings.Split(s.spec.includeLocs, "."), at)
	}
	return doc, nil
}

// setPath returns doc with a field set, in place or at the end. What is no
// document on the way becomes one.
func setPath(doc bson.Raw, path []string, v bson.RawValue) bson.Raw {
	var pairs []any
	found := false
	put := func(old bson.RawValue) bson.RawValue {
		found = true
		if len(path) == 1 {
			return v
		}
		inner, ok := old.DocumentOK()
		if !ok {
			inner = emptyDoc()
		}
		return value.Doc(setPath(inner, path[1:], v))
	}
	for name, old := range value.Elements(doc) {
		if name == path[0] && !found {
			old = put(old)
		}
		pairs = append(pairs, name, old)
	}
	if !found {
		pairs = append(pairs, path[0], put(bson.RawValue{}))
	}
	return value.D(pairs...)
}
