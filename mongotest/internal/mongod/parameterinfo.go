package mongod

import (
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// When a parameter may be set.
func settable(name string) (atRuntime, atStartup bool) {
	switch name {
	case paramFCV, "authSchemaVersion":
		return false, false
	case "authenticationMechanisms", "enableTestCommands", "KeysRotationIntervalSec", "ShardingTaskExecutorPoolReplicaSetMatching",
		"localLogicalSessionTimeoutMinutes", "maxAcceptableLogicalClockDriftSecs", "disableLogicalSessionCacheRefresh":
		return false, true
	default:
		return true, true
	}
}

// parameterQuery is what getParameter asks for.
type parameterQuery struct {
	all, details bool
	setAt        string // "", "startup" or "runtime"
}

func (q parameterQuery) wants(name string) bool {
	atRuntime, atStartup := settable(name)
	return q.setAt == "" || q.setAt == "runtime" && atRuntime || q.setAt == "startup" && atStartup
}

// show renders a parameter's value, with details if they are asked for.
func (q parameterQuery) show(name string, v bson.RawValue) bson.RawValue {
	if !q.details {
		return v
	}
	atRuntime, atStartup := settable(name)
	return value.Doc(value.D("value", v, "settableAtRuntime", atRuntime, "settableAtStartup", atStartup))
}

// parameterQuery reads {getParameter: 1 | "*" | {showDetails, allParameters, setAt}}.
func (op *operation) parameterQuery() (parameterQuery, error) {
	q := parameterQuery{all: op.args().bool("allParameters", false)}
	first := op.req.Body.Lookup(op.req.Name)
	if s, ok := first.StringValueOK(); ok && s == "*" {
		q.all = true
	}
	d, ok := first.DocumentOK()
	if !ok {
		return q, nil
	}
	a := &args{name: "getParameter", body: d}
	q.details, q.all, q.setAt = a.bool("showDetails", false), q.all || a.bool("allParameters", false), a.string("setAt")
	for name := range value.Elements(d) {
		if !slices.Contains([]string{"showDetails", "allParameters", "setAt"}, name) {
			a.fail(mongoerr.IDLUnknownField, "BSON field 'getParameter.%s' is an unknown field.", name)
		}
	}
	if a.err == nil && a.has("setAt") && q.setAt != "startup" && q.setAt != "runtime" {
		a.fail(mongoerr.BadValue, "Enumeration value '%s' for field 'getParameter.setAt' is not a valid value.", q.setAt)
	}
	return q, a.err
}

// bounds are the least and the greatest value of a numeric parameter.
func bounds(name string) (least, most int64) {
	switch name {
	case "logLevel":
		return 0, 5
	case paramCursorMillis, paramTTLSecs, paramTxnSecs:
		return 1, math.MaxInt32
	default:
		return math.MinInt32, math.MaxInt32
	}
}

// checkParameter returns v as the parameter takes it, old being what it was.
func checkParameter(name string, old, v bson.RawValue) (bson.RawValue, error) {
	if atRuntime, _ := settable(name); !atRuntime {
		return v, mongoerr.New(mongoerr.IllegalOperation, "not allowed to change [%s] at runtime", name)
	}
	i, isNumber := value.AsInt64(v)
	if v.Type == bson.TypeBoolean { // as the server's BSONElement::safeNumberLong reads it
		i, isNumber = 0, true
		if v.Boolean() {
			i = 1
		}
	}
	least, most := bounds(name)
	switch {
	case name == "logComponentVerbosity":
		return mergeVerbosity(old, v)
	case old.Type == bson.TypeBoolean:
		return value.Bool(value.Truthy(v)), nil
	case old.Type == bson.TypeString:
		s, ok := v.StringValueOK()
		switch {
		case !ok:
			return v, mongoerr.New(mongoerr.TypeMismatch, "%s must be a string, not %s", name, value.TypeName(v.Type))
		case len(s) > 64:
			return v, mongoerr.New(mongoerr.Overflow, "Value for parameter %s must be no more than 64 bytes", name)
		}
		return v, nil
	case old.Type == bson.TypeArray || old.Type == bson.TypeEmbeddedDocument:
		return v, mongoerr.New(mongoerr.IllegalOperation, "not allowed to change [%s] at runtime", name)
	case !isNumber:
		return v, mongoerr.New(mongoerr.BadValue, "parameter %s must be a number, not %s", name, value.TypeName(v.Type))
	case i < least || i > most:
		return v, mongoerr.New(mongoerr.BadValue, "Invalid value for parameter %s: %d is not between %d and %d", name, i, least, most)
	case old.Type == bson.TypeInt32:
		return value.Int32(int32(i)), nil
	default:
		return value.Int64(i), nil
	}
}

// componentVerbosity is the verbosity of every component of the log: -1 takes
// that of the component around it.
func componentVerbosity() bson.Raw {
	unset := func(inner ...any) bson.Raw { return value.D(append([]any{"verbosity", int32(-1)}, inner...)...) }
	parts := map[string][]string{
		"network": {"asio", "bridge"}, "replication": {"election", "heartbeats", "initialSync", "rollback"},
		"storage": {"recovery", "journal", "wt"}, "sharding": {"migration", "rangeDeleter"},
	}
	pairs := []any{"verbosity", int32(0)}
	for _, name := range []string{
		"accessControl", "command", "control", "executor", "geo", "globalIndex", "index", "network", "query",
		"replication", "sharding", "storage", "write", "ftdc", "tracking", "transaction", "tenantMigration", "test", "resharding", "streams", "assert",
	} {
		var inner []any
		for _, part := range parts[name] {
			inner = append(inner, part, unset())
		}
		pairs = append(pairs, name, unset(inner...))
	}
	return value.D(pairs...)
}

// mergeVerbosity returns old with the levels that v gives: {component:
// {verbosity: n}} or {component: n}.
func mergeVerbosity(old, v bson.RawValue) (bson.RawValue, error) {
	d, ok := v.DocumentOK()
	if !ok {
		return v, mongoerr.New(mongoerr.TypeMismatch, "log component verbosity is not a BSON object: %s", value.TypeName(v.Type))
	}
	merged := old.Document()
	for name, x := range value.Elements(d) {
		was := merged.Lookup(name)
		n, isNumber := value.AsInt64(x)
		f, _ := value.AsFloat64(x)
		switch {
		case was.Type == 0:
			return v, mongoerr.New(mongoerr.BadValue, "Invalid component name %s", name)
		case isNumber && (n < -1 || n > math.MaxInt32 || math.IsNaN(f)):
			return v, mongoerr.New(mongoerr.BadValue, "Expected %s to be a non-negative number", name)
		case isNumber && name == "verbosity":
			merged = replaceField(merged, name, value.Int32(int32(n)))
		case isNumber:
			merged = replaceField(merged, name, value.Doc(replaceField(was.Document(), "verbosity", value.Int32(int32(n)))))
		case x.Type == bson.TypeEmbeddedDocument && was.Type == bson.TypeEmbeddedDocument:
			inner, err := mergeVerbosity(was, x)
			if err != nil {
				return v, err
			}
			merged = replaceField(merged, name, inner)
		default:
			return v, mongoerr.New(mongoerr.BadValue, "Expected %s to be a number or an object", strings.TrimSpace(name))
		}
	}
	return value.Doc(merged), nil
}
