package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A spec is what one command accepts beside the generic arguments.
type spec struct {
	first  field // the one that has the command's name
	fields fields
	traits trait
}

type trait uint

const (
	adminOnly trait = 1 << iota // only on the database admin
	stable                      // in version 1 of the Stable API
	lenient                     // passes over fields it does not know
)

func (s *spec) is(t trait) bool { return s.traits&t != 0 }

// Check refuses a command with a field that it does not have, of a wrong type or
// value, or without one that it needs; and one that is meant for another
// database or another API version.
func Check(req *command.Request) error {
	s, ok := commands[req.Name]
	if !ok {
		return nil
	}
	if err := s.checkFields(req); err != nil {
		return err
	}
	if err := s.checkSequences(req); err != nil {
		return err
	}
	has := func(name string) bool { return hasSequence(req, name) || !isNothing(req.Body.Lookup(name)) }
	if err := s.fields.checkComplete(req.Name, has); err != nil {
		return err
	}
	if s.first.must && !has(req.Name) {
		return mongoerr.New(mongoerr.IDLFailedToParse, "BSON field '%s.%s' is missing but a required field", req.Name, req.Name)
	}
	if s.is(adminOnly) && req.DB != "admin" {
		return mongoerr.New(mongoerr.Unauthorized, "%s may only be run against the admin database.", req.Name)
	}
	return s.checkAPI(req)
}

// checkFields holds every field of the body against its rule, in their order.
func (s *spec) checkFields(req *command.Request) error {
	for name, v := range value.Elements(req.Body) {
		f, known := s.find(req.Name, name)
		switch {
		case !known && s.is(lenient):
			continue
		case !known:
			return mongoerr.New(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", req.Name, name)
		case f.omitted(v):
			continue
		}
		if err := f.check(req.Name+"."+name, v); err != nil {
			return err
		}
	}
	return nil
}

// find returns what may stand under a name, which may be the command's own.
func (s *spec) find(command, name string) (field, bool) {
	if name == command {
		return s.first, true
	}
	if f, ok := s.fields[name]; ok {
		return f, true
	}
	f, ok := generic[name]
	return f, ok
}

// checkSequences holds document sequences against the array they stand for.
func (s *spec) checkSequences(req *command.Request) error {
	for _, seq := range req.Sequences {
		f, known := s.fields[seq.ID]
		if !known {
			return mongoerr.New(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", req.Name, seq.ID)
		}
		if f.element == nil || f.element.of == nil && f.element.rule == nil {
			continue
		}
		for _, doc := range seq.Docs {
			if err := f.element.check(req.Name+"."+seq.ID, value.Doc(doc)); err != nil {
				return err
			}
		}
	}
	return nil
}

// AdminOnly reports whether a command may run on the database admin only.
func AdminOnly(command string) bool {
	s, ok := commands[command]
	return ok && s.is(adminOnly)
}

func hasSequence(req *command.Request, id string) bool {
	for _, seq := range req.Sequences {
		if seq.ID == id {
			return true
		}
	}
	return false
}

// needsAPIVersion is the server's code for the other API options alone.
const needsAPIVersion mongoerr.Code = 4886600

// checkAPI checks the options of the Stable API.
func (s *spec) checkAPI(req *command.Request) error {
	version := req.Body.Lookup("apiVersion")
	strict, _ := req.Body.Lookup("apiStrict").BooleanOK()
	switch {
	case isNothing(version):
		if has(req.Body, "apiStrict") || has(req.Body, "apiDeprecationErrors") {
			return mongoerr.New(needsAPIVersion, "Provided apiStrict and/or apiDeprecationErrors without passing apiVersion")
		}
	case version.StringValue() != "1":
		return mongoerr.New(mongoerr.APIVersionError, "API version must be \"1\"")
	case strict && !s.is(stable):
		return mongoerr.New(mongoerr.APIStrictError, "Provided apiStrict:true, but the command %s is not in API Version 1.", req.Name)
	}
	return nil
}

func has(doc bson.Raw, name string) bool { return !isNothing(doc.Lookup(name)) }
