package aggregate

import (
	"bytes"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// sortKey is one field of a sortBy.
type sortKey struct {
	path string
	dir  int
}

// windowStage is a compiled $setWindowFields.
type windowStage struct {
	partition evalFunc
	order     *query.Sort // nil: as they come
	fields    []windowField
	vars      Vars
}

func compileSetWindowFields(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$setWindowFields", spec, []string{"output"}, []string{"partitionBy", "sortBy"})
	if err != nil {
		return nil, err
	}
	w := &windowStage{partition: literal(value.Null()), vars: env.Vars}
	if p, ok := raw["partitionBy"]; ok {
		if w.partition, err = compile(p); err != nil {
			return nil, err
		}
	}
	keys, order, err := compileSortBy(raw["sortBy"], env.Vars)
	if err != nil {
		return nil, err
	}
	w.order = order
	if raw["output"].Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '$setWindowFields.output' is the wrong type '%s', expected type 'object'", rawdoc.TypeName(raw["output"].Type))
	}
	var paths fieldTree
	for k, v := range value.Elements(raw["output"].Value) {
		f, err := compileWindowField(k, v, keys)
		if err != nil {
			return nil, err
		}
		if err := paths.add(f.path, &fieldTree{leaf: true}); err != nil {
			return nil, err
		}
		w.fields = append(w.fields, f)
	}
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) { return w.run(docs) }), nil
}

// compileSortBy reads a sortBy; null and {} are no order.
func compileSortBy(v bson.RawValue, vars Vars) (keys []sortKey, order *query.Sort, err error) {
	if nullish(v) {
		return nil, nil, nil
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '$setWindowFields.sortBy' is the wrong type '%s', expected type 'object'", rawdoc.TypeName(v.Type))
	}
	for k, d := range value.Elements(v.Value) {
		dir, err := direction(d)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, sortKey{k, dir})
	}
	if len(keys) == 0 {
		return nil, nil, nil
	}
	order, err = query.CompileSort(v.Value, vars.coll)
	return keys, order, err
}

func (w *windowStage) run(docs []bson.Raw) ([]bson.Raw, error) {
	parts, err := w.partitions(docs)
	if err != nil {
		return nil, err
	}
	var out []bson.Raw
	for _, p := range parts {
		done := slices.Clone(p)
		for _, f := range w.fields {
			vals, err := f.fn(partition{docs: p, frame: f.frame, vars: w.vars})
			if err != nil {
				return nil, err
			}
			for i, v := range vals {
				done[i] = withPath(done[i], f.path, v)
			}
		}
		out = append(out, done...)
	}
	return out, nil
}

// partitions sorts by the partition's key and within by the order.
func (w *windowStage) partitions(docs []bson.Raw) ([][]bson.Raw, error) {
	type row struct {
		part string
		key  []byte
		doc  bson.Raw
	}
	rows := make([]row, len(docs))
	for i, d := range docs {
		v, err := w.partition(evalCtx{root: d, vars: w.vars})
		if err != nil {
			return nil, err
		}
		if v.Type == bson.TypeArray {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "An expression used to partition cannot evaluate to value of type array")
		}
		rows[i] = row{part: w.vars.groupKey(orNull(v)), doc: d}
		if w.order != nil {
			rows[i].key = w.order.Key(d)
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if c := bytes.Compare([]byte(a.part), []byte(b.part)); c != 0 {
			return c
		}
		return bytes.Compare(a.key, b.key)
	})
	var out [][]bson.Raw
	for i, r := range rows {
		if i == 0 || r.part != rows[i-1].part {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r.doc)
	}
	return out, nil
}
