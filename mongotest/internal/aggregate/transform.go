package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// docStage turns one document into one document.
type docStage func(doc bson.Raw, vars Vars) (bson.Raw, error)

// Transform is a pipeline of stages that turn each document into one: those of
// pipeline updates, and of change streams but for $match. It is immutable.
type Transform struct {
	stages []docStage
}

// CompileTransform parses such stages. A stage of another kind is refused.
func CompileTransform(stages []bson.Raw) (*Transform, error) {
	t := &Transform{}
	for _, s := range stages {
		name, spec, err := stageOf(s)
		if err != nil {
			return nil, err
		}
		st, ok, err := compileDocStage(name, spec)
		if err != nil {
			return nil, err
		}
		if !ok {
			if IsStage(name) {
				return nil, mongoerr.New(mongoerr.InvalidOptions, "%s is not allowed to be used here", name)
			}
			return nil, unrecognized(name)
		}
		t.stages = append(t.stages, st)
	}
	return t, nil
}

// Apply runs the stages on one document.
func (t *Transform) Apply(doc bson.Raw, vars Vars) (bson.Raw, error) {
	for _, s := range t.stages {
		var err error
		if doc, err = s(doc, vars); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// stageOf splits {$name: spec}.
func stageOf(stage bson.Raw) (name string, spec bson.RawValue, err error) {
	if rawdoc.Len(stage) != 1 {
		return "", spec, mongoerr.New(40323, "A pipeline stage specification object must contain exactly one field.")
	}
	name, spec, _ = rawdoc.First(stage)
	return name, spec, nil
}

func unrecognized(name string) error {
	return mongoerr.New(40324, "Unrecognized pipeline stage name: '%s'", name)
}

// compileDocStage compiles a stage of that kind; ok is false for others.
func compileDocStage(name string, spec bson.RawValue) (st docStage, ok bool, err error) {
	switch name {
	case "$project":
		st, err = compileProject(spec)
	case "$addFields", "$set":
		st, err = compileAddFields(name, spec)
	case "$unset":
		st, err = compileUnset(spec)
	case "$replaceRoot", "$replaceWith":
		st, err = compileReplaceRoot(name, spec)
	default:
		return nil, false, nil
	}
	return st, true, err
}

func compileReplaceRoot(name string, spec bson.RawValue) (docStage, error) {
	if name == "$replaceRoot" {
		raw, err := rawArgs(name, spec, []string{"newRoot"}, nil)
		if err != nil {
			return nil, err
		}
		spec = raw["newRoot"]
	}
	fn, err := compile(spec)
	if err != nil {
		return nil, err
	}
	return func(doc bson.Raw, vars Vars) (bson.Raw, error) {
		v, err := fn(evalCtx{root: doc, vars: vars})
		if err != nil {
			return nil, err
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(40228, "'%s' expression must evaluate to an object, but resulting value was: %s. Type of resulting value: '%s'", "newRoot", showMissing(v), rawdoc.TypeName(v.Type))
		}
		return v.Value, nil
	}, nil
}

func showMissing(v bson.RawValue) string {
	if v.Type == 0 {
		return "MISSING"
	}
	return rawdoc.Render(v)
}

func typeName(v bson.RawValue) string { return rawdoc.TypeName(v.Type) }
