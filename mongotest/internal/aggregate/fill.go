package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// compileFill makes $setWindowFields of the methods of a $fill, and $addFields
// of its values.
func compileFill(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$fill", spec, []string{"output"}, []string{"partitionBy", "partitionByFields", "sortBy"})
	if err != nil {
		return nil, err
	}
	var window rawdoc.Builder
	if err := fillPartition(&window, raw); err != nil {
		return nil, err
	}
	if s, given := raw["sortBy"]; given {
		window.Add("sortBy", s)
	}
	if raw["output"].Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '$fill.output' is the wrong type '%s', expected type 'object'", typeName(raw["output"]))
	}
	if value.IsEmpty(raw["output"].Value) {
		return nil, mongoerr.New(6050203, "$fill requires at least one output field")
	}
	methods, values, err := fillOutputs(raw["output"].Value)
	if err != nil {
		return nil, err
	}
	var stages []stage
	if methods.Len() > 0 {
		window.AddDoc("output", methods.Bytes())
		st, err := compileSetWindowFields(value.Doc(window.Bytes()), env)
		if err != nil {
			return nil, err
		}
		stages = append(stages, st)
	}
	if values.Len() > 0 {
		st, err := compileStage("$addFields", value.Doc(values.Bytes()), env)
		if err != nil {
			return nil, err
		}
		stages = append(stages, st)
	}
	return func(in Source) Source {
		for _, s := range stages {
			in = s(in)
		}
		return in
	}, nil
}

func fillPartition(window *rawdoc.Builder, raw map[string]bson.RawValue) error {
	by, one := raw["partitionBy"]
	fields, many := raw["partitionByFields"]
	switch {
	case one && many:
		return mongoerr.New(6050204, "Maximum one of 'partitionBy' and 'partitionByFields' can be specified in '$fill'")
	case one:
		window.Add("partitionBy", by)
	case many:
		if fields.Type != bson.TypeArray {
			return mongoerr.New(mongoerr.TypeMismatch, "BSON field '$fill.partitionByFields' is the wrong type '%s', expected type 'array'", typeName(fields))
		}
		var b rawdoc.Builder
		for _, f := range value.Elements(fields.Value) {
			name, ok := f.StringValueOK()
			if !ok || strings.HasPrefix(name, "$") {
				return mongoerr.New(6050202, "Each field in 'partitionByFields' must be a field name, not %s", rawdoc.Render(f))
			}
			b.Add(strings.ReplaceAll(name, ".", "_"), value.String("$"+name))
		}
		window.AddDoc("partitionBy", b.Bytes())
	}
	return nil
}

// fillOutputs sorts the outputs into window functions and computed values.
func fillOutputs(output bson.Raw) (methods, values *rawdoc.Builder, err error) {
	methods, values = &rawdoc.Builder{}, &rawdoc.Builder{}
	for k, v := range value.Elements(output) {
		if v.Type != bson.TypeEmbeddedDocument || rawdoc.Len(v.Value) != 1 {
			return nil, nil, mongoerr.New(6050200, "Each output of $fill must be an object with 'value' or 'method'")
		}
		kind, x, _ := rawdoc.First(v.Value)
		method, _ := x.StringValueOK()
		switch {
		case kind == "value":
			values.AddDoc(k, value.D("$ifNull", value.ArrayOf(value.String("$"+k), x)))
		case kind == "method" && method == "linear":
			methods.AddDoc(k, value.D("$linearFill", "$"+k))
		case kind == "method" && method == "locf":
			methods.AddDoc(k, value.D("$locf", "$"+k))
		default:
			return nil, nil, mongoerr.New(6050202, "Method must be either 'locf' or 'linear'")
		}
	}
	return methods, values, nil
}
