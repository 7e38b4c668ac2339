package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// parseLong reads an argument that has to be a whole number; name is what the
// server's messages call it.
func parseLong(name string, arg bson.RawValue) (int64, error) {
	if !value.IsNumber(arg.Type) {
		return 0, mongoerr.New(mongoerr.FailedToParse, "Expected a number in: %s", rawdoc.RenderElement(name, arg))
	}
	if !value.IsFinite(arg) || !value.Rat(arg).IsInt() {
		return 0, mongoerr.New(mongoerr.FailedToParse, "Expected an integer: %s", rawdoc.RenderElement(name, arg))
	}
	i, _ := value.AsInt64(arg)
	if !value.Equal(arg, value.Int64(i)) {
		return 0, mongoerr.New(mongoerr.FailedToParse, "Cannot represent as a 64-bit integer: %s", rawdoc.RenderElement(name, arg))
	}
	return i, nil
}

// parseCount is parseLong for numbers that must not be negative.
func parseCount(name string, arg bson.RawValue) (int64, error) {
	i, err := parseLong(name, arg)
	if err == nil && i < 0 {
		err = mongoerr.New(mongoerr.FailedToParse, "Expected a non-negative number in: %s", rawdoc.RenderElement(name, arg))
	}
	return i, err
}
