package aggregate

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// redaction is a compiled $redact. Its expression answers one of the words of
// the variables $$KEEP, $$PRUNE and $$DESCEND.
type redaction struct {
	fn   evalFunc
	root bson.Raw
}

func compileRedact(spec bson.RawValue, env Env) (stage, error) {
	fn, err := compile(spec)
	if err != nil {
		return nil, err
	}
	vars := env.Vars
	for name, word := range map[string]string{"KEEP": "keep", "PRUNE": "prune", "DESCEND": "descend"} {
		vars = vars.With(name, value.String(word))
	}
	return func(in Source) Source {
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			for {
				doc, err := in.Next(ctx)
				if doc == nil || err != nil {
					return nil, err
				}
				r := redaction{fn: fn, root: doc}
				if out, keep, err := r.document(doc, vars); err != nil || keep {
					return out, err
				}
			}
		})
	}, nil
}

func (r redaction) document(doc bson.Raw, vars Vars) (out bson.Raw, keep bool, err error) {
	v, err := r.fn(evalCtx{root: r.root, vars: vars.With("CURRENT", value.Doc(doc))})
	if err != nil {
		return nil, false, err
	}
	word, _ := v.StringValueOK()
	switch word {
	case "keep":
		return doc, true, nil
	case "prune":
		return nil, false, nil
	case "descend":
	default:
		return nil, false, mongoerr.New(17053, "$redact's expression should not return anything aside from the variables $$KEEP, $$DESCEND, and $$PRUNE, but returned %s", showMissing(v))
	}
	var b rawdoc.Builder
	for k, e := range value.Elements(doc) {
		x, keep, err := r.value(e, vars)
		if err != nil {
			return nil, false, err
		}
		if keep {
			b.Add(k, x)
		}
	}
	return b.Bytes(), true, nil
}

func (r redaction) value(v bson.RawValue, vars Vars) (bson.RawValue, bool, error) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		doc, keep, err := r.document(v.Value, vars)
		return value.Doc(doc), keep, err
	case bson.TypeArray:
		var b rawdoc.Builder
		for _, e := range value.Elements(v.Value) {
			x, keep, err := r.value(e, vars)
			if err != nil {
				return v, false, err
			}
			if keep {
				b.Push(x)
			}
		}
		return value.Array(b.Bytes()), true, nil
	default:
		return v, true, nil
	}
}
