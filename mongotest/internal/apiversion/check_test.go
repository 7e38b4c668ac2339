package apiversion_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/apiversion"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestClientsAreHeldToTheVersionTheyDeclare(t *testing.T) {
	pipeline := func(stage string) bson.RawValue { return value.A(value.D(stage, value.D())) }
	for name, c := range map[string]struct {
		command string
		body    bson.Raw
		code    mongoerr.Code // 0 if it may run
	}{
		"nothing declared":        {"distinct", value.D("distinct", "c"), 0},
		"declared, not strict":    {"distinct", value.D("distinct", "c", "apiVersion", "1"), 0},
		"strict, in the API":      {"find", value.D("find", "c", "apiVersion", "1", "apiStrict", true), 0},
		"strict, not in the API":  {"distinct", value.D("distinct", "c", "apiVersion", "1", "apiStrict", true), mongoerr.APIStrictError},
		"strict, a stable stage":  {"aggregate", value.D("aggregate", "c", "pipeline", pipeline("$match"), "apiVersion", "1", "apiStrict", true), 0},
		"strict, an unstable one": {"aggregate", value.D("aggregate", 1, "pipeline", pipeline("$listLocalSessions"), "apiVersion", "1", "apiStrict", true), mongoerr.APIStrictError},
		"strict, a script":        {"find", value.D("find", "c", "filter", value.D("$or", value.A(value.D("$where", "1"))), "apiVersion", "1", "apiStrict", true), mongoerr.APIStrictError},
		"strict, a function":      {"aggregate", value.D("aggregate", "c", "pipeline", value.A(value.D("$set", value.D("a", value.D("$function", 1)))), "apiVersion", "1", "apiStrict", true), mongoerr.APIStrictError},
		"strict, a script to delete by": {
			"delete", value.D("delete", "c", "deletes", value.A(value.D("q", value.D("$where", "1"), "limit", 0)), "apiVersion", "1", "apiStrict", true), mongoerr.APIStrictError,
		},
		"strict, no script but a text": {"find", value.D("find", "c", "filter", value.D("a", "$where"), "apiVersion", "1", "apiStrict", true), 0},
		"another version":              {"ping", value.D("ping", 1, "apiVersion", "3"), mongoerr.APIVersionError},
		"strict without a version":     {"ping", value.D("ping", 1, "apiStrict", true), 4886600},
		"version of another type":      {"ping", value.D("ping", 1, "apiVersion", 1), mongoerr.TypeMismatch},
	} {
		err := apiversion.Check(&command.Request{Name: c.command, Body: c.body})
		if c.code == 0 {
			assert.NoError(t, err, name)
		} else {
			assert.True(t, mongoerr.Is(err, c.code), "%s: %v", name, err)
		}
	}
}
