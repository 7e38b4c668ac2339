package command_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestWhichCommandsHaveWhichReadConcern(t *testing.T) {
	level := func(l string) bson.Raw { return value.D("level", l) }
	out := value.A(value.D("$match", value.D()), value.D("$out", "c"))
	for name, c := range map[string]struct {
		command string
		body    bson.Raw
		ok      bool
	}{
		"find, snapshot":             {"find", value.D("find", "c", "readConcern", level("snapshot")), true},
		"find, linearizable":         {"find", value.D("find", "c", "readConcern", level("linearizable")), true},
		"count, majority":            {"count", value.D("count", "c", "readConcern", level("majority")), true},
		"count, snapshot":            {"count", value.D("count", "c", "readConcern", level("snapshot")), false},
		"aggregate to $out":          {"aggregate", value.D("aggregate", "c", "pipeline", out, "readConcern", level("majority")), true},
		"the same, linearizable":     {"aggregate", value.D("aggregate", "c", "pipeline", out, "readConcern", level("linearizable")), false},
		"insert, local":              {"insert", value.D("insert", "c", "readConcern", level("local")), true},
		"insert after a time":        {"insert", value.D("insert", "c", "readConcern", value.D("afterClusterTime", bson.Timestamp{T: 1})), true},
		"insert, snapshot":           {"insert", value.D("insert", "c", "readConcern", level("snapshot")), false},
		"insert, in a transaction":   {"insert", value.D("insert", "c", "readConcern", level("snapshot"), "autocommit", false), true},
		"listCollections, available": {"listCollections", value.D("listCollections", 1, "readConcern", level("available")), false},
	} {
		err := command.CheckReadConcern(&command.Request{Name: c.command, Body: c.body})
		if c.ok {
			assert.NoError(t, err, name)
		} else {
			assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%s: %v", name, err)
		}
	}
}
