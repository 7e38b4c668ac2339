package command

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// CheckReadConcern refuses a level of read concern that the command cannot be
// run with outside of transactions. Members and routers ask it alike.
func CheckReadConcern(req *Request) error {
	concern, _ := req.Body.Lookup("readConcern").DocumentOK()
	if concern == nil {
		return nil
	}
	level, _ := concern.Lookup("level").StringValueOK()
	if level == "" || level == "local" || req.Body.Lookup("autocommit").Type != 0 {
		return nil
	}
	reason := unsupported(req, level)
	if reason == "" {
		return nil
	}
	return mongoerr.New(mongoerr.InvalidOptions,
		"Command %s does not support { readConcern: { level: %q, provenance: \"clientSupplied\" } } :: caused by :: %s", req.Name, level, reason)
}

// unsupported says why req cannot have a level above local, "" if it can.
func unsupported(req *Request, level string) string {
	switch req.Name {
	case "find", "distinct":
	case "count", "explain":
		if level == "snapshot" {
			return "read concern snapshot not supported"
		}
	case "aggregate":
		stage := lastStage(req)
		if level == "linearizable" && (stage == "$out" || stage == "$merge") {
			return stage + " cannot be used with a 'linearizable' read concern level"
		}
	default:
		return "read concern not supported"
	}
	return ""
}

// lastStage is the name of the last stage of an aggregate's pipeline.
func lastStage(req *Request) string {
	stages, _ := req.Body.Lookup("pipeline").ArrayOK()
	last := ""
	for _, v := range value.Elements(bson.Raw(stages)) {
		stage, _ := v.DocumentOK()
		for name := range value.Elements(stage) {
			last = name
			break
		}
	}
	return last
}
