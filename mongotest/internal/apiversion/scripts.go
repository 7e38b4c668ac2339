package apiversion

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// checkScripts refuses server-side JavaScript, which API version 1 leaves out.
func checkScripts(req *command.Request) error {
	for _, field := range []string{"filter", "query", "pipeline", "projection", "let", "update", "fields"} {
		if err := noScript(req.Body.Lookup(field)); err != nil {
			return err
		}
	}
	for _, list := range []string{"updates", "deletes"} {
		statements, _ := req.Docs(list) // a wrong one is refused when it is carried out
		for _, st := range statements {
			for _, field := range []string{"q", "u"} {
				if err := noScript(st.Lookup(field)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// noScript looks for operators that run JavaScript. In a $literal they are data.
func noScript(v bson.RawValue) error {
	if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
		return nil
	}
	for name, sub := range value.Elements(bson.Raw(v.Value)) {
		switch name {
		case "$where", "$function", "$accumulator":
			return mongoerr.New(mongoerr.APIStrictError, "%s is not allowed with 'apiStrict: true' in API Version 1", name)
		case "$literal":
			continue
		}
		if err := noScript(sub); err != nil {
			return err
		}
	}
	return nil
}
