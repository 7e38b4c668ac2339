package mongotest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// simulateName is the command by which clients disturb the cluster, if
// Options.FaultCommands says so: {simulate: kind, ...}.
const simulateName = "simulate"

// reader reads the fields of a simulate command. The first error sticks.
type reader struct {
	body bson.Raw
	read []string
	err  error
}

// kinds make the disturbances of their fields.
var kinds = map[string]func(*reader) Disturbance{
	"partition": func(r *reader) Disturbance {
		return Partition{From: r.text("from"), To: r.text("to"), OneWay: r.flag("oneWay"), Silent: r.flag("silent")}
	},
	"delay": func(r *reader) Disturbance {
		return Delay{From: r.text("from"), To: r.text("to"), OneWay: r.flag("oneWay"), By: r.millis("delayMS", true)}
	},
	"drop": func(r *reader) Disturbance {
		return Drop{From: r.text("from"), To: r.text("to"), Probability: r.number("probability", 1), Replies: r.flag("replies")}
	},
	"pause":           func(r *reader) Disturbance { return Paused{r.text("process")} },
	"crash":           func(r *reader) Disturbance { return Crashed{r.text("process")} },
	"restart":         func(r *reader) Disturbance { return Restart{r.text("process")} },
	"killConnections": func(r *reader) Disturbance { return KillConnections{r.optional("process")} },
	"lag":             func(r *reader) Disturbance { return Lag{r.text("process"), r.millis("lagMS", false)} },
	"clockSkew":       func(r *reader) Disturbance { return ClockSkew{r.text("process"), r.millis("skewMS", true)} },
	"diskFull":        func(r *reader) Disturbance { return DiskFull{r.text("process")} },
	"freeze":          func(r *reader) Disturbance { return Frozen{r.text("process")} },
	"freezeMajority":  func(r *reader) Disturbance { return FrozenMajority{r.text("shard")} },
	"stepDown": func(r *reader) Disturbance {
		return StepDown{r.text("shard"), time.Duration(r.number("stepDownSecs", 60) * float64(time.Second))}
	},
	"oplog": func(r *reader) Disturbance {
		return Oplog{Shard: r.text("shard"), Truncate: r.flag("truncate"), Entries: int(r.count("entries")), Bytes: r.count("bytes")}
	},
}

// simulate carries out the command simulate.
func (c *Cluster) simulate(ctx context.Context, req *command.Request) (*command.Response, error) {
	if req.DB != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "%s may only be run against the admin database.", simulateName)
	}
	r := &reader{body: req.Body}
	kind := r.text(simulateName)
	if r.err != nil {
		return nil, r.err
	}
	body, err := c.simulateKind(ctx, kind, r)
	if err != nil {
		return nil, asSimulateError(err)
	}
	return &command.Response{Body: body}, nil
}

func (c *Cluster) simulateKind(ctx context.Context, kind string, r *reader) (bson.Raw, error) {
	switch kind {
	case "list":
		return c.listDisturbances(), r.finish()
	case "heal":
		id := int(r.count("id"))
		if err := r.finish(); err != nil {
			return nil, err
		}
		if id == 0 {
			return value.D(), c.EndDisturbances(ctx)
		}
		return value.D(), c.EndDisturbance(ctx, id)
	}
	makes, ok := kinds[kind]
	if !ok {
		return nil, mongoerr.New(mongoerr.BadValue, "simulate: there is no kind %q; it may be list, heal, %s", kind, strings.Join(sortedKinds(), ", "))
	}
	d := makes(r)
	lasts := time.Duration(r.number("seconds", 0) * float64(time.Second))
	if err := r.finish(); err != nil {
		return nil, err
	}
	if lasts < 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "simulate: seconds: %v is below 0", lasts.Seconds())
	}
	id, err := c.Disturb(ctx, d, lasts)
	if err != nil || id == 0 {
		return value.D(), err
	}
	return value.D("id", id), nil
}

func sortedKinds() []string {
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// asSimulateError makes a server's error of what Disturb says.
func asSimulateError(err error) error {
	var e *mongoerr.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrNoDisturbance):
		return mongoerr.New(mongoerr.NoSuchKey, "%v", err)
	}
	return mongoerr.New(mongoerr.BadValue, "%v", err)
}

// listDisturbances is the reply to {simulate: "list"}: what lasts, and what the
// processes are.
func (c *Cluster) listDisturbances() bson.Raw {
	active := []any{}
	for _, a := range c.Disturbances() {
		pairs := []any{"id", a.ID, "simulate", a.Disturbance.kind()}
		for _, f := range a.Disturbance.fields() {
			pairs = append(pairs, f.Key, f.Value)
		}
		pairs = append(pairs, "since", a.Since)
		if !a.Until.IsZero() {
			pairs = append(pairs, "until", a.Until)
		}
		active = append(active, value.D(pairs...))
	}
	processes := []any{}
	for _, r := range c.routers {
		processes = append(processes, value.D("process", r.addr, "is", "router"))
	}
	for _, s := range c.sets() {
		for _, m := range s.members {
			is := "secondary"
			if m.node.IsPrimary() {
				is = "primary"
			}
			processes = append(processes, value.D("process", m.addr, "shard", s.id, "is", is, "term", m.node.Term()))
		}
	}
	return value.D("active", value.A(active...), "processes", value.A(processes...))
}

func (r *reader) lookup(field string) (bson.RawValue, bool) {
	r.read = append(r.read, field)
	v := r.body.Lookup(field)
	return v, v.Type != 0
}

func (r *reader) fail(code mongoerr.Code, format string, params ...any) {
	if r.err == nil {
		r.err = mongoerr.New(code, format, params...)
	}
}

func (r *reader) mismatch(field, want string, v bson.RawValue) {
	r.fail(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", simulateName, field, value.TypeName(v.Type), want)
}

func (r *reader) missing(field string) {
	r.fail(mongoerr.IDLFailedToParse, "BSON field '%s.%s' is missing but a required field", simulateName, field)
}

// text reads a string that must be there.
func (r *reader) text(field string) string {
	s := r.optional(field)
	if s == "" {
		r.missing(field)
	}
	return s
}

func (r *reader) optional(field string) string {
	v, ok := r.lookup(field)
	if !ok {
		return ""
	}
	s, isString := v.StringValueOK()
	if !isString {
		r.mismatch(field, "string", v)
	}
	return s
}

func (r *reader) flag(field string) bool {
	v, ok := r.lookup(field)
	if !ok {
		return false
	}
	b, isBool := v.BooleanOK()
	if !isBool {
		r.mismatch(field, "bool", v)
	}
	return b
}

func (r *reader) number(field string, otherwise float64) float64 {
	v, ok := r.lookup(field)
	if !ok {
		return otherwise
	}
	f, isNumber := value.AsFloat64(v)
	if !isNumber {
		r.mismatch(field, "double", v)
	}
	return f
}

func (r *reader) count(field string) int64 {
	v, ok := r.lookup(field)
	if !ok {
		return 0
	}
	n, isNumber := value.AsInt64(v)
	if !isNumber {
		r.mismatch(field, "long", v)
	}
	return n
}

// millis reads a time in milliseconds.
func (r *reader) millis(field string, required bool) time.Duration {
	if _, ok := r.lookup(field); !ok && required {
		r.missing(field)
	}
	return time.Duration(r.number(field, 0) * float64(time.Millisecond))
}

// finish fails if there was an error, or a field that nobody has read.
func (r *reader) finish() error {
	for name := range value.Elements(r.body) {
		if !slices.Contains(r.read, name) && !strings.HasPrefix(name, "$") && !slices.Contains(simulateGeneric, name) {
			r.fail(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", simulateName, name)
		}
	}
	return r.err
}

// simulateGeneric are the fields that drivers add to commands.
var simulateGeneric = []string{"lsid", "comment", "apiVersion", "apiStrict", "apiDeprecationErrors", "maxTimeMS"}
