package mongod

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// clusterParameters are what setClusterParameter has set. They are kept and
// shown; nothing here depends on them.
type clusterParameters struct {
	mu  sync.Mutex
	set map[string]bson.Raw // with clusterParameterTime
}

// parameterKinds are the fields of each cluster parameter with their defaults.
func parameterKinds() map[string]bson.Raw {
	return map[string]bson.Raw{
		"changeStreamOptions":                         value.D("preAndPostImages", value.D("expireAfterSeconds", "off")),
		"changeStreams":                               value.D("expireAfterSeconds", int64(3600)),
		"fleDisableSubstringPreviewParameterLimits":   value.D("shouldDisableSubstringPreviewParameterLimits", false),
		"defaultMaxTimeMS":                            value.D("readOperations", int64(0)),
		"pauseMigrationsDuringMultiUpdates":           value.D("enabled", false),
		"internalSearchOptions":                       value.D("oversubscriptionFactor", 1.064, "batchSizeGrowthFactor", 1.5),
		"shardedClusterCardinalityForDirectConns":     value.D("hasTwoOrMoreShards", false),
		"addOrRemoveShardInProgress":                  value.D("inProgress", false),
		"configServerReadPreferenceForCatalogQueries": value.D("mustAlwaysUseNearest", false),
	}
}

func noSuchParameter(name string) error {
	return mongoerr.New(mongoerr.NoSuchKey, "Unknown server parameter: %s", name)
}

// runGetClusterParameter is getClusterParameter: a name, names or "*".
func runGetClusterParameter(_ context.Context, op *operation) (bson.Raw, error) {
	kinds := parameterKinds()
	var names []string
	arg := op.req.Body.Lookup(op.req.Name)
	switch s, isName := arg.StringValueOK(); {
	case isName && s == "*":
		names = slices.Sorted(maps.Keys(kinds))
	case isName:
		names = []string{s}
	default:
		for _, v := range value.Elements(arg.Value) {
			names = append(names, v.StringValue())
		}
		if len(names) == 0 {
			return nil, mongoerr.New(mongoerr.BadValue, "Must supply at least one cluster server parameter name to getClusterParameter")
		}
	}
	p := &op.node.set.wide.parameters
	p.mu.Lock()
	defer p.mu.Unlock()
	docs := []bson.Raw{}
	for _, name := range names {
		def, ok := kinds[name]
		if !ok {
			return nil, noSuchParameter(name)
		}
		if set := p.set[name]; set != nil {
			def = set
		}
		docs = append(docs, appendFields(value.D("_id", name), pairsOf(def)...))
	}
	return value.D("clusterParameters", docs), nil
}

// pairsOf returns the fields of d as value.D takes them.
func pairsOf(d bson.Raw) []any {
	var pairs []any
	for name, v := range value.Elements(d) {
		pairs = append(pairs, name, v)
	}
	return pairs
}

// runSetClusterParameter is setClusterParameter: {name: {field: value}}.
func runSetClusterParameter(_ context.Context, op *operation) (bson.Raw, error) {
	arg := op.req.Body.Lookup(op.req.Name).Document()
	if fieldCount(arg) > 1 {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "setClusterParameter only supports setting exactly one parameter")
	}
	name := firstStage([]bson.Raw{arg})
	def, ok := parameterKinds()[name]
	if !ok {
		return nil, noSuchParameter(name)
	}
	given, isDoc := arg.Lookup(name).DocumentOK()
	if !isDoc {
		return nil, mongoerr.New(mongoerr.BadValue, "Cluster parameter value must be a document")
	}
	for field := range value.Elements(given) {
		if strings.HasPrefix(field, "$") {
			return nil, mongoerr.New(mongoerr.DollarPrefixedFieldName, "The dollar ($) prefixed field '%s' is not valid for storage.", field)
		}
	}
	set, err := fillParameter(name, def, given)
	if err != nil {
		return nil, err
	}
	at := op.line.log.Noop(value.D("msg", "cluster parameter changed"))
	p := &op.node.set.wide.parameters
	p.mu.Lock()
	if p.set == nil {
		p.set = map[string]bson.Raw{}
	}
	p.set[name] = appendFields(value.D("clusterParameterTime", at), pairsOf(set)...)
	p.mu.Unlock()
	return value.D(), op.node.set.keep()
}

// fillParameter returns the default with the given fields in place of its own.
// Numbers become longs. A nested document must not be empty.
func fillParameter(path string, def, given bson.Raw) (bson.Raw, error) {
	bad := func(format string, args ...any) error { return mongoerr.New(mongoerr.BadValue, format, args...) }
	for field, v := range value.Elements(given) {
		old := def.Lookup(field)
		n, isNumber := value.AsInt64(v)
		switch {
		case old.Type == 0:
			return nil, bad("BSON field '%s.%s' is an unknown field.", path, field)
		case old.Type == bson.TypeEmbeddedDocument:
			inner, ok := v.DocumentOK()
			if !ok {
				return nil, bad("BSON field '%s.%s' must be an object", path, field)
			}
			filled, err := fillParameter(path+"."+field, old.Document(), inner)
			if err != nil {
				return nil, err
			}
			v = value.Doc(filled)
		case field == "expireAfterSeconds" && isNumber && n > 0:
			v = value.Int64(n)
		case field == "expireAfterSeconds" && old.Type == bson.TypeString && v.Type == bson.TypeString && v.StringValue() == "off":
		case field == "expireAfterSeconds" && v.Type == bson.TypeNull && old.Type == bson.TypeInt64:
			v = old
		case field == "expireAfterSeconds" && !isNumber && old.Type == bson.TypeInt64:
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected a number", path, field, value.TypeName(v.Type))
		case field == "expireAfterSeconds":
			return nil, bad("Invalid value for '%s.%s': must be a positive number or 'off'", path, field)
		case isNumber && old.Type == bson.TypeInt64 && n >= 0:
			v = value.Int64(n)
		case old.Type != v.Type && v.Type == bson.TypeNull: // back to the default
			v = old
		case old.Type != v.Type:
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s'", path, field, value.TypeName(v.Type))
		}
		def = replaceField(def, field, v)
	}
	if isEmpty(given) && path == "changeStreamOptions" {
		return nil, bad("Expected preAndPostImages for changeStreamOptions")
	}
	return def, nil
}

func replaceField(d bson.Raw, field string, v bson.RawValue) bson.Raw {
	var pairs []any
	for name, x := range value.Elements(d) {
		if name == field {
			x = v
		}
		pairs = append(pairs, name, x)
	}
	return value.D(pairs...)
}
