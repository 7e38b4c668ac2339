package release

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// An operator is what came after 6.0: when, and where it may stand. The
// simulator has some of a later 8.x in every 8.0, so these count as 8.0.
type operator struct {
	since  [2]int
	places []place
}

var (
	v7 = [2]int{7, 0}
	v8 = [2]int{8, 0}

	asStage      = []place{stage}
	asExpression = []place{expression}
	asAny        = []place{expression, accumulator, windowFunction}
	asCollector  = []place{accumulator, windowFunction}
)

var operators = map[string]operator{
	"$median": {v7, asAny}, "$percentile": {v7, asAny},
	"$bitAnd": {v7, asExpression}, "$bitOr": {v7, asExpression}, "$bitXor": {v7, asExpression}, "$bitNot": {v7, asExpression},
	"$listSearchIndexes": {v7, asStage}, "$vectorSearch": {v7, asStage},
	"$listSampledQueries": {v7, asStage}, "$queryStats": {v7, asStage},

	"$toUUID": {v8, asExpression}, "$sigmoid": {v8, asExpression},
	"$minMaxScaler": {v8, []place{windowFunction}}, "$concatArrays": {v8, asCollector}, "$setUnion": {v8, asCollector},
	"$querySettings": {v8, asStage}, "$listClusterCatalog": {v8, asStage},
}

// check refuses a name that v does not know in this place.
func (v Version) check(at place, name string) error {
	if name == "$changeStreamSplitLargeEvent" && at == stage && !v.SplitsLargeEvents() {
		return unknown(at, name)
	}
	o, ok := operators[name]
	if !ok || !slices.Contains(o.places, at) || v.AtLeast(o.since[0], o.since[1]) {
		return nil
	}
	return unknown(at, name)
}

// SplitsLargeEvents reports whether there is $changeStreamSplitLargeEvent, which
// 6.0 has since its tenth release.
func (v Version) SplitsLargeEvents() bool {
	return v.AtLeast(7, 0) || v[0] == 6 && v[1] == 0 && v[2] >= 9
}

func unknown(at place, name string) error {
	switch at {
	case stage:
		return mongoerr.New(40324, "Unrecognized pipeline stage name: '%s'", name)
	case accumulator:
		return mongoerr.New(15952, "unknown group operator '%s'", name)
	case windowFunction:
		return mongoerr.New(mongoerr.FailedToParse, "Unrecognized window function, %s", name)
	default:
		return mongoerr.New(mongoerr.InvalidPipelineOperator, "Unrecognized expression '%s'", name)
	}
}

// Check refuses a command with stages or operators that v does not have.
func (v Version) Check(req *command.Request) error {
	if v.AtLeast(8, 0) {
		return nil
	}
	if err := v.checkFields(req); err != nil {
		return err
	}
	switch req.Name {
	case "explain":
		inner, _ := req.Body.Lookup("explain").DocumentOK()
		if first, err := inner.IndexErr(0); err == nil {
			return v.Check(&command.Request{Name: first.Key(), Body: inner})
		}
		return nil
	case "update", "delete":
		return v.checkStatements(req)
	}
	if roots, ok := parts[req.Name]; ok {
		return v.walk(roots, req.Body)
	}
	return nil
}

// checkStatements looks into filters and pipelines. Whole documents and the
// classic update operators hold nothing new.
func (v Version) checkStatements(req *command.Request) error {
	docs, err := req.Docs(map[string]string{"update": "updates", "delete": "deletes"}[req.Name])
	if err != nil {
		return nil //nolint:nilerr // whoever carries it out reports it
	}
	for _, st := range docs {
		if _, err := st.LookupErr("sort"); err == nil && req.Name == "update" {
			return mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'update.updates.sort' is an unknown field.")
		}
		if err := v.walk(parts[req.Name], st); err != nil {
			return err
		}
	}
	return nil
}

// parts are the places in commands, or in the statements of writes.
var parts = map[string]map[string]place{
	"aggregate":     {"pipeline": pipeline, "let": expression},
	"create":        {"pipeline": pipeline, "validator": query},
	"collMod":       {"pipeline": pipeline, "validator": query},
	"find":          {"filter": query, "projection": expression, "let": expression},
	"count":         {"query": query},
	"distinct":      {"query": query},
	"findAndModify": {"query": query, "fields": expression, "update": pipeline, "let": expression},
	"findandmodify": {"query": query, "fields": expression, "update": pipeline, "let": expression},
	"update":        {"q": query, "u": pipeline},
	"delete":        {"q": query},
}

func (v Version) walk(roots map[string]place, doc bson.Raw) error {
	for name, at := range roots {
		if err := v.value(at, doc.Lookup(name)); err != nil {
			return err
		}
	}
	return nil
}
