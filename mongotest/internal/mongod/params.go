package mongod

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The parameters the node itself looks at.
const (
	paramNoopSecs     = "periodicNoopIntervalSecs"
	paramWriteNoops   = "writePeriodicNoops"
	paramTTLSecs      = "ttlMonitorSleepSecs"
	paramTTL          = "ttlMonitorEnabled"
	paramCursorMillis = "cursorTimeoutMillis"
	paramTxnSecs      = "transactionLifetimeLimitSeconds"
	paramHistorySecs  = "minSnapshotHistoryWindowInSeconds"
	paramFCV          = "featureCompatibilityVersion"
	paramEarlyCommit  = "coordinateCommitReturnImmediatelyAfterPersistingDecision"
)

// parameters are the values of getParameter and setParameter.
type parameters struct {
	changes *broadcast

	mu     sync.Mutex
	values map[string]bson.RawValue
}

func newParameters(c Config) *parameters {
	p := &parameters{changes: newBroadcast()}
	p.reset(c)
	return p
}

// reset gives all parameters the values with which a process starts.
func (p *parameters) reset(c Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values = map[string]bson.RawValue{
		paramNoopSecs:                            value.Int32(int32(max(c.NoopInterval, time.Second) / time.Second)),
		paramWriteNoops:                          value.Bool(c.NoopInterval > 0),
		paramTTLSecs:                             value.Int32(int32(max(c.TTLInterval, time.Second) / time.Second)),
		paramTTL:                                 value.Bool(c.TTLInterval > 0),
		paramCursorMillis:                        value.Int64(600_000),
		paramTxnSecs:                             value.Int32(60),
		paramHistorySecs:                         value.Int32(300),
		paramFCV:                                 value.Doc(value.D("version", c.Version.FCV())),
		paramEarlyCommit:                         value.Bool(!c.Version.AtLeast(6, 1)), // SERVER-63971
		"authenticationMechanisms":               value.A("SCRAM-SHA-1", "SCRAM-SHA-256"),
		"enableTestCommands":                     value.Bool(true),
		"logLevel":                               value.Int32(0),
		"quiet":                                  value.Bool(false),
		"notablescan":                            value.Bool(false),
		"orphanCleanupDelaySecs":                 value.Int32(900),
		"rangeDeleterBatchSize":                  value.Int32(0x7fffffff),
		"rangeDeleterBatchDelayMS":               value.Int32(20),
		"maxTransactionLockRequestTimeoutMillis": value.Int32(5),
		"localLogicalSessionTimeoutMinutes":      value.Int32(sessionTimeoutMins),
		"internalQueryMaxBlockingSortMemoryUsageBytes": value.Int32(100 << 20),
		"waitForSecondaryBeforeNoopWriteMS":            value.Int32(10),
		"disableLogicalSessionCacheRefresh":            value.Bool(false),
		"maxAcceptableLogicalClockDriftSecs":           value.Int64(int64(oplog.MaxDrift / time.Second)),
		"requireApiVersion":                            value.Bool(false),
		"allowDiskUseByDefault":                        value.Bool(true),
		"ShardingTaskExecutorPoolReplicaSetMatching":   value.String("automatic"),
		"KeysRotationIntervalSec":                      value.Int32(7776000),
		"authSchemaVersion":                            value.Int32(5),
		"automationServiceDescriptor":                  value.String(""),
		"logComponentVerbosity":                        value.Doc(componentVerbosity()),
	}
	p.changes.fire()
}

// get returns a parameter's value, of type 0 if there is none of that name.
func (p *parameters) get(name string) bson.RawValue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[name]
}

func (p *parameters) all() map[string]bson.RawValue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.values)
}

// setAll changes the parameters a command names, all or none, and returns what
// the first one was.
func (p *parameters) setAll(command string, body bson.Raw) (bson.Raw, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	updates := map[string]bson.RawValue{}
	var was bson.RawValue
	for name, v := range value.Elements(body) {
		if name == command || isGeneric(name) {
			continue
		}
		old, ok := p.values[name]
		if !ok {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "Unrecognized parameter [%s] in setParameter", name)
		}
		n, err := checkParameter(name, old, v)
		if err != nil {
			return nil, err
		}
		if len(updates) == 0 {
			was = old
		}
		updates[name] = n
	}
	if len(updates) == 0 {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "no option found to set, use help:true to see options ")
	}
	maps.Copy(p.values, updates)
	if level, ok := updates["logLevel"]; ok {
		p.values["logComponentVerbosity"] = value.Doc(replaceField(p.values["logComponentVerbosity"].Document(), "verbosity", level))
	}
	p.changes.fire()
	return value.D("was", was), nil
}

func (p *parameters) setFCV(fcv string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values[paramFCV] = value.Doc(value.D("version", fcv))
}

func (p *parameters) number(name string) int64 {
	i, _ := value.AsInt64(p.get(name))
	return i
}

func (p *parameters) seconds(name string) time.Duration {
	return time.Duration(p.number(name)) * time.Second
}

func (p *parameters) enabled(name string) bool {
	return value.Truthy(p.get(name))
}

// genericArgs are the fields every command may have beside its own and those
// whose names begin with a dollar.
var genericArgs = []string{
	"lsid", "txnNumber",
	"comment", "maxTimeMS", "maxTimeMSOpOnly", "readConcern", "writeConcern", "apiVersion", "apiStrict", "apiDeprecationErrors",
	"autocommit", "startTransaction", "stmtId", "stmtIds", "databaseVersion", "shardVersion",
	"help", "rawData", "mayBypassWriteBlocking", "collectionUUID",
}

func isGeneric(name string) bool {
	return strings.HasPrefix(name, "$") || slices.Contains(genericArgs, name)
}

// runGetParameter is getParameter: 1 | "*" | {showDetails, allParameters, setAt}.
func runGetParameter(_ context.Context, op *operation) (bson.Raw, error) {
	q, err := op.parameterQuery()
	if err != nil {
		return nil, err
	}
	var pairs []any
	values := op.node.params.all()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		asked := q.all || op.req.Body.Lookup(name).Type != 0 && name != op.req.Name
		if asked && q.wants(name) {
			pairs = append(pairs, name, q.show(name, values[name]))
		}
	}
	if len(pairs) == 0 {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "no option found to get")
	}
	return value.D(pairs...), nil
}

// runSetParameter sets all parameters it names, or none.
func runSetParameter(_ context.Context, op *operation) (bson.Raw, error) {
	reply, err := op.node.params.setAll(op.req.Name, op.req.Body)
	if err == nil && op.args().has(paramHistorySecs) {
		op.line.engine.SetHistoryWindow(op.node.params.seconds(paramHistorySecs))
	}
	return reply, err
}

// runSetFCV is setFeatureCompatibilityVersion; only the answer of getParameter
// changes with it.
func runSetFCV(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	fcv := a.string(op.req.Name)
	confirm := a.bool("confirm", false)
	if a.err != nil {
		return nil, a.err
	}
	if !confirm && op.node.cfg.Version.AtLeast(7, 0) {
		return nil, mongoerr.New(7369100, "Once you have changed the FCV, you cannot go back without support. Please re-run this command with 'confirm: true'.")
	}
	switch v := op.node.cfg.Version; fcv {
	case v.FCV(), release.Version{v[0] - 1}.FCV():
		op.node.params.setFCV(fcv)
		return value.D(), op.node.set.keep()
	default:
		return nil, mongoerr.New(4926900, "Invalid feature compatibility version value '%s'; expected '%s' or '%s'", fcv, v.FCV(), release.Version{v[0] - 1}.FCV())
	}
}
