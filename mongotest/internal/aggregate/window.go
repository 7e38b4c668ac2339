package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// bound is one end of a window: no end, or an offset from the current document
// or from its sort value.
type bound struct {
	open   bool
	offset bson.RawValue
}

// frame says which documents of its partition a window function sees.
type frame struct {
	lo, hi bound
	ranged bool
	unit   string // of dates; empty for numbers
}

// everything is the frame of a function without a window.
func everything() frame { return frame{lo: bound{open: true}, hi: bound{open: true}} }

// sliding reports whether documents leave the frame as it moves.
func (f frame) sliding() bool { return !f.lo.open }

// compileFrame reads a window specification.
func compileFrame(spec bson.RawValue) (frame, error) {
	f := everything()
	if spec.Type == 0 {
		return f, nil
	}
	if spec.Type != bson.TypeEmbeddedDocument {
		return f, mongoerr.New(mongoerr.FailedToParse, "'window' field must be an object")
	}
	bounds, kinds := bson.RawValue{}, 0
	for k, v := range value.Elements(spec.Value) {
		switch k {
		case "documents", "range":
			bounds, f.ranged = v, k == "range"
			kinds++
		case "unit":
			s, ok := v.StringValueOK()
			if !ok {
				return f, mongoerr.New(mongoerr.FailedToParse, "'unit' must be a string")
			}
			f.unit = s
		default:
			return f, mongoerr.New(mongoerr.FailedToParse, "'window' field can only contain 'documents' as the only argument or 'range' with an optional 'unit' field")
		}
	}
	switch {
	case kinds > 1:
		return f, mongoerr.New(mongoerr.FailedToParse, "Window bounds can specify either 'documents' or 'unit', not both.")
	case f.unit != "" && !f.ranged:
		return f, mongoerr.New(mongoerr.FailedToParse, "Window bounds can only specify 'unit' with range-based bounds.")
	case kinds == 0:
		return f, nil
	}
	if f.unit != "" {
		if _, err := unitOf(value.String(f.unit)); err != nil {
			return f, mongoerr.New(mongoerr.FailedToParse, "unknown time unit value: %s", f.unit)
		}
	}
	return f, f.readBounds(bounds)
}

func (f *frame) readBounds(v bson.RawValue) error {
	ends := []bson.RawValue{}
	if v.Type == bson.TypeArray {
		ends = rawdoc.Values(v.Value)
	}
	if len(ends) != 2 {
		return mongoerr.New(mongoerr.FailedToParse, "Window bounds must be a 2-element array: %s", rawdoc.Render(v))
	}
	for i, b := range []*bound{&f.lo, &f.hi} {
		var err error
		if *b, err = f.readBound(ends[i]); err != nil {
			return err
		}
	}
	if !f.lo.open && !f.hi.open && compare(f.lo.offset, f.hi.offset) > 0 {
		return mongoerr.New(5339900, "Lower bound must not exceed upper bound: %s", rawdoc.Render(v))
	}
	return nil
}

func (f *frame) readBound(v bson.RawValue) (bound, error) {
	if s, ok := v.StringValueOK(); ok {
		switch s {
		case "unbounded":
			return bound{open: true}, nil
		case "current":
			return bound{offset: value.Int32(0)}, nil
		}
	}
	_, whole := number.Exact(v)
	switch {
	case !number.Is(v) && f.ranged:
		return bound{}, mongoerr.New(mongoerr.FailedToParse, "Range-based bounds expression must be a number")
	case !whole && !f.ranged:
		return bound{}, mongoerr.New(mongoerr.FailedToParse, "Numeric document-based bounds must be an integer")
	case !whole && f.unit != "":
		return bound{}, mongoerr.New(mongoerr.FailedToParse, "With 'unit', range-based bounds must be an integer")
	}
	return bound{offset: v}, nil
}

// windowField is one computed field of $setWindowFields.
type windowField struct {
	path  []string
	frame frame
	fn    windowFunc
}

// compileWindowField reads {$op: arg, window: …}. keys are the sort fields.
func compileWindowField(name string, spec bson.RawValue, keys []sortKey) (windowField, error) {
	f := windowField{path: strings.Split(name, ".")}
	if err := checkPath(f.path); err != nil {
		return f, err
	}
	if spec.Type != bson.TypeEmbeddedDocument {
		return f, mongoerr.New(mongoerr.FailedToParse, "The field '%s' must be a window function object", name)
	}
	var op string
	var arg, window bson.RawValue
	for k, v := range value.Elements(spec.Value) {
		switch {
		case k == "window":
			window = v
		case !strings.HasPrefix(k, "$"):
			return f, mongoerr.New(mongoerr.FailedToParse, "Window function found an unknown argument: %s", k)
		case op != "":
			return f, mongoerr.New(mongoerr.FailedToParse, "Cannot specify two functions in window function spec")
		default:
			op, arg = k, v
		}
	}
	if op == "" {
		return f, mongoerr.New(mongoerr.FailedToParse, "Expected a $-prefixed window function, but found none")
	}
	var err error
	if f.frame, err = compileFrame(window); err != nil {
		return f, err
	}
	if f.frame.ranged && (!f.frame.lo.open || !f.frame.hi.open) && len(keys) != 1 {
		return f, mongoerr.New(5339902, "Range-based bounds require sortBy a single field")
	}
	if f.frame.ranged && (!f.frame.lo.open || !f.frame.hi.open) && keys[0].dir < 0 {
		return f, mongoerr.New(8947401, "Range-based bounds require a non-descending sortBy")
	}
	f.fn, err = compileWindowFunc(op, arg, window.Type != 0, f.frame, keys)
	return f, err
}
