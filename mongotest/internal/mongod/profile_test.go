package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// The profiler is off, and cannot be switched on.
func TestProfile(t *testing.T) {
	f := newFixture(t)
	for _, level := range []int{-1, 0} {
		assert.EqualValues(t, 0, num(f.run("db", "profile", level), "was"))
	}
	f.fail(mongoerr.CommandNotSupported, "db", "profile", 1)
	f.fail(mongoerr.BadValue, "db", "profile", 3)
}
