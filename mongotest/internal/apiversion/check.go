// Package apiversion holds clients to the API version they declare: the fields
// apiVersion, apiStrict and apiDeprecationErrors of a command.
package apiversion

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// declaration is what a command says about the API.
type declaration struct {
	version     string
	declared    bool
	strict      bool
	deprecation bool
}

// Check refuses a command whose declaration is wrong, and with apiStrict what
// the API does not have.
func Check(req *command.Request) error {
	d, err := read(req)
	switch {
	case err != nil:
		return err
	case !d.declared && (d.strict || d.deprecation):
		return mongoerr.New(4886600, "Provided apiStrict and/or apiDeprecationErrors without passing apiVersion")
	case !d.declared:
		return nil
	case d.version != "1":
		return mongoerr.New(mongoerr.APIVersionError, "API version must be \"1\"")
	case d.strict:
		return checkStrict(req)
	default:
		return nil
	}
}

func read(req *command.Request) (declaration, error) {
	var d declaration
	for name, v := range value.Elements(req.Body) {
		want := bson.TypeBoolean
		var ok bool
		switch name {
		case "apiVersion":
			want = bson.TypeString
			d.version, ok = v.StringValueOK()
			d.declared = true
		case "apiStrict":
			d.strict, ok = v.BooleanOK()
		case "apiDeprecationErrors":
			d.deprecation, ok = v.BooleanOK()
		default:
			continue
		}
		if !ok {
			return d, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", req.Name, name, value.TypeName(v.Type), value.TypeName(want))
		}
	}
	return d, nil
}

const manual = "can be found at https://dochub.mongodb.org/core/manual-versioned-api."

func checkStrict(req *command.Request) error {
	if !inVersion1(req.Name) {
		return mongoerr.New(mongoerr.APIStrictError,
			"Provided apiStrict:true, but the command %s is not in API Version 1. Information on supported commands and migrations in API Version 1 "+manual,
			req.Name)
	}
	if err := checkScripts(req); err != nil || req.Name != "aggregate" {
		return err
	}
	stages, _ := req.Body.Lookup("pipeline").ArrayOK()
	for _, v := range value.Elements(bson.Raw(stages)) {
		stage, _ := v.DocumentOK()
		for name := range value.Elements(stage) {
			if slices.Contains(unstableStages(), name) {
				return mongoerr.New(mongoerr.APIStrictError, "stage %s is not allowed with 'apiStrict: true' in API Version 1", name)
			}
			if spec, _ := stage.Lookup("$changeStream").DocumentOK(); spec.Lookup("showExpandedEvents").Type != 0 {
				return mongoerr.New(mongoerr.APIStrictError, "'showExpandedEvents' is not allowed with 'apiStrict: true' in API Version 1")
			}
			break
		}
	}
	return nil
}
