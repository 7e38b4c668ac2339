package mongod

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes about query settings.
const (
	settingsUnknownShape mongoerr.Code = 7746402
	settingsNoEffect     mongoerr.Code = 7746604
	settingsOfID         mongoerr.Code = 7746606
	settingsInternal     mongoerr.Code = 8584900
	settingsNoDB         mongoerr.Code = 8727500
	settingsNoCollection mongoerr.Code = 8727501
	settingsEmpty        mongoerr.Code = 8727502
)

// settingsTarget reads the shape that a command is about: a query, or the hash
// of one. The settings of queries on the server's own data, and of those that
// take the shortest way to a document anyhow, cannot be set.
func (op *operation) settingsTarget() (hash string, query bson.Raw, err error) {
	v := op.req.Body.Lookup(op.req.Name)
	if s, ok := v.StringValueOK(); ok {
		switch _, err := hex.DecodeString(s); {
		case s == "":
			return "", nil, mongoerr.New(mongoerr.InvalidLength, "the hash of a query shape has 64 characters, not 0")
		case err != nil:
			return "", nil, mongoerr.New(mongoerr.BadValue, "not a hexadecimal string: %s", s)
		case len(s) != 64:
			return "", nil, mongoerr.New(mongoerr.InvalidLength, "the hash of a query shape has 64 characters, not %d", len(s))
		}
		return strings.ToUpper(s), nil, nil
	}
	query = v.Document()
	name := firstStage([]bson.Raw{query})
	if !slices.Contains([]string{"find", "distinct", "aggregate"}, name) {
		return "", nil, mongoerr.New(settingsUnknownShape, "QueryShape can not be computed for command: %s", name)
	}
	db := query.Lookup("$db")
	switch s, ok := db.StringValueOK(); {
	case db.Type == 0 || db.Type == bson.TypeNull:
		return "", nil, missingField(name, "$db")
	case !ok:
		return "", nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.$db' is the wrong type '%s', expected type 'string'", name, value.TypeName(db.Type))
	case s == "":
		return "", nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid database name: ''")
	}
	return planning.ShapeHash(query), query, nil
}

// checkSettable refuses queries that can have no settings.
func checkSettable(query bson.Raw) error {
	db, _ := query.Lookup("$db").StringValueOK()
	coll, _ := query.Lookup(firstStage([]bson.Raw{query})).StringValueOK()
	filter, _ := query.Lookup("filter").DocumentOK()
	if isInternalDB(db) || strings.HasPrefix(coll, "system.") {
		return mongoerr.New(settingsInternal, "setQuerySettings command cannot be used on internal databases or system collections")
	}
	if id := filter.Lookup("_id"); id.Type != 0 && fieldCount(filter) == 1 && (id.Type != bson.TypeEmbeddedDocument || !strings.HasPrefix(firstStage([]bson.Raw{id.Document()}), "$")) {
		return mongoerr.New(settingsOfID, "setQuerySettings command cannot be used on find queries eligible for IDHACK")
	}
	return nil
}

func runSetQuerySettings(_ context.Context, op *operation) (bson.Raw, error) {
	hash, query, err := op.settingsTarget()
	if err != nil {
		return nil, err
	}
	if query != nil {
		if err := checkSettable(query); err != nil {
			return nil, err
		}
	}
	old, _ := op.node.set.wide.queries.Get(hash)
	update := op.args().doc("settings")
	if isEmpty(update) {
		return nil, mongoerr.New(settingsEmpty, "the resulting settings cannot be empty or contain only default values")
	}
	if err := checkHints(update); err != nil {
		return nil, err
	}
	s := planning.Setting{Hash: hash, Query: query, Settings: planning.Merge(orEmptyDoc(old.Settings), update)}
	if !changesAnything(s.Settings) {
		return nil, mongoerr.New(settingsNoEffect, "settings field in setQuerySettings command cannot be empty or have no effect")
	}
	op.node.set.wide.queries.Put(s)
	s, _ = op.node.set.wide.queries.Get(hash)
	return describeSetting(s), op.node.set.keep()
}

func describeSetting(s planning.Setting) bson.Raw {
	pairs := []any{"queryShapeHash", s.Hash, "settings", s.Settings}
	if s.Query != nil {
		pairs = append(pairs, "representativeQuery", s.Query)
	}
	return value.D(pairs...)
}

// hintsOf returns the indexHints of settings, of which there may be one or
// several.
func hintsOf(settings bson.Raw) []bson.RawValue {
	hints := settings.Lookup("indexHints")
	if hints.Type == bson.TypeEmbeddedDocument {
		return []bson.RawValue{hints}
	}
	var out []bson.RawValue
	for _, h := range value.Elements(hints.Value) {
		out = append(out, h)
	}
	return out
}

func checkHints(settings bson.Raw) error {
	for _, h := range hintsOf(settings) {
		ns, _ := h.Document().Lookup("ns").DocumentOK()
		switch {
		case ns.Lookup("db").Type != bson.TypeString:
			return mongoerr.New(settingsNoDB, "invalid namespace specified in indexHints: no database")
		case ns.Lookup("coll").Type != bson.TypeString:
			return mongoerr.New(settingsNoCollection, "invalid namespace specified in indexHints: no collection")
		}
	}
	return nil
}

// changesAnything reports whether settings differ from having none.
func changesAnything(settings bson.Raw) bool {
	if reject, _ := settings.Lookup("reject").BooleanOK(); reject || settings.Lookup("queryFramework").Type == bson.TypeString {
		return true
	}
	return slices.ContainsFunc(hintsOf(settings), func(h bson.RawValue) bool {
		for range value.Elements(h.Document().Lookup("allowedIndexes").Value) {
			return true
		}
		return false
	})
}

func runRemoveQuerySettings(_ context.Context, op *operation) (bson.Raw, error) {
	hash, _, err := op.settingsTarget()
	if err != nil {
		return nil, err
	}
	op.node.set.wide.queries.Remove(hash)
	return value.D(), op.node.set.keep()
}

// querySettingsStage lists the query settings.
func (op *operation) querySettingsStage(spec bson.Raw) []bson.Raw {
	debug, _ := spec.Lookup("showDebugQueryShape").BooleanOK()
	var docs []bson.Raw
	for _, s := range op.node.set.wide.queries.List() {
		d := describeSetting(s)
		if debug && s.Query != nil {
			d = appendFields(d, "debugQueryShape", planning.CommandShape(s.Query))
		}
		docs = append(docs, d)
	}
	return docs
}
