package aggregate

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// targetOf reads a collection given as "coll" or {db, coll}.
func targetOf(name string, v bson.RawValue, env Env) (db, coll string, err error) {
	if s, ok := v.StringValueOK(); ok {
		return env.DB, s, nil
	}
	raw, err := rawArgs(name, v, []string{"coll"}, []string{"db"})
	if err != nil {
		return "", "", err
	}
	db = env.DB
	if d, ok := raw["db"].StringValueOK(); ok {
		db = d
	}
	coll, ok := raw["coll"].StringValueOK()
	if !ok || coll == "" {
		return "", "", mongoerr.New(mongoerr.InvalidNamespace, "Invalid %s target namespace", name)
	}
	return db, coll, nil
}

// sink is a stage that reads all and yields nothing.
func sink(f func(ctx context.Context, docs []bson.Raw) error) stage {
	return gathered(func(ctx context.Context, docs []bson.Raw) ([]bson.Raw, error) { return nil, f(ctx, docs) })
}

func compileOut(spec bson.RawValue, env Env) (stage, error) {
	if env.Writer == nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "$out cannot write here")
	}
	db, coll, err := targetOf("$out", spec, env)
	if err != nil {
		return nil, err
	}
	return sink(func(ctx context.Context, docs []bson.Raw) error { return env.Writer.Replace(ctx, db, coll, docs) }), nil
}

// merge is a compiled $merge.
type merge struct {
	env              Env
	db, coll         string
	on               []string
	matched, missing string
	stages           *Transform
	letNames         []string
	letExprs         []evalFunc
}

func compileMerge(spec bson.RawValue, env Env) (stage, error) {
	if env.Writer == nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "$merge cannot write here")
	}
	if spec.Type == bson.TypeString {
		spec = value.Doc(value.D("into", spec))
	}
	raw, err := rawArgs("$merge", spec, []string{"into"}, []string{"on", "let", "whenMatched", "whenNotMatched"})
	if err != nil {
		return nil, err
	}
	db, coll, err := targetOf("$merge", raw["into"], env)
	if err != nil {
		return nil, err
	}
	m := &merge{env: env, db: db, coll: coll, on: []string{"_id"}, matched: "merge", missing: "insert"}
	if err := m.options(raw); err != nil {
		return nil, err
	}
	return sink(func(ctx context.Context, docs []bson.Raw) error {
		for _, d := range docs {
			err := env.Writer.Merge(ctx, db, coll, m.on, d, func(old bson.Raw) (bson.Raw, error) { return m.decide(old, d) })
			if err != nil {
				return err
			}
		}
		return nil
	}), nil
}

func (m *merge) options(raw map[string]bson.RawValue) error {
	switch on := raw["on"]; on.Type {
	case bson.TypeString:
		m.on = []string{on.StringValue()}
	case bson.TypeArray:
		m.on = nil
		for _, v := range value.Elements(on.Value) {
			s, ok := v.StringValueOK()
			if !ok {
				return mongoerr.New(51134, "$merge 'on' array elements must be strings, but found %s", rawdoc.TypeName(v.Type))
			}
			m.on = append(m.on, s)
		}
	default:
	}
	for k, v := range value.Elements(raw["let"].Value) {
		fn, err := compile(v)
		if err != nil {
			return err
		}
		m.letNames, m.letExprs = append(m.letNames, k), append(m.letExprs, fn)
	}
	if w := raw["whenMatched"]; w.Type == bson.TypeArray {
		stages, err := subPipeline("$merge", w)
		if err != nil {
			return err
		}
		if m.stages, err = CompileTransform(stages); err != nil {
			return err
		}
	} else if s, ok := w.StringValueOK(); ok {
		m.matched = s
	}
	if s, ok := raw["whenNotMatched"].StringValueOK(); ok {
		m.missing = s
	}
	switch m.matched {
	case "replace", "keepExisting", "merge", "fail":
	default:
		return mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field 'whenMatched' is not a valid value.", m.matched)
	}
	switch m.missing {
	case "insert", "discard", "fail":
	default:
		return mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field '$merge.whenNotMatched' is not a valid value.", m.missing)
	}
	return nil
}

// decide returns what becomes of the stored document old (nil: there is none)
// when doc is merged into it; nil changes nothing.
func (m *merge) decide(old, doc bson.Raw) (bson.Raw, error) {
	if old == nil {
		switch m.missing {
		case "insert":
			return doc, nil
		case "discard":
			return nil, nil
		default:
			return nil, mongoerr.New(mongoerr.MergeStageNoMatchingDocument, "$merge could not find a matching document in the target collection for at least one document in the source collection")
		}
	}
	if m.stages != nil {
		vars := m.env.Vars.With("new", value.Doc(doc))
		vals, err := evalAll(evalCtx{root: doc, vars: vars}, m.letExprs)
		if err != nil {
			return nil, err
		}
		for i, n := range m.letNames {
			vars = vars.With(n, vals[i])
		}
		return m.stages.Apply(old, vars)
	}
	switch m.matched {
	case "replace":
		return doc, nil
	case "merge":
		for k, v := range value.Elements(doc) {
			old = withField(old, k, v)
		}
		return old, nil
	case "keepExisting":
		return nil, nil
	default:
		return nil, m.duplicate(doc)
	}
}

// duplicate is the error of whenMatched: fail, which is that of inserting doc.
func (m *merge) duplicate(doc bson.Raw) error {
	var pattern, key []any
	var name, text []string
	for _, field := range m.on {
		v, _ := value.Lookup(doc, field)
		pattern, key = append(pattern, field, 1), append(key, field, v)
		name, text = append(name, field+"_1"), append(text, rawdoc.RenderElement(field, v))
	}
	index := strings.Join(name, "_")
	if index == "_id_1" {
		index = "_id_"
	}
	return mongoerr.New(mongoerr.DuplicateKey, "E11000 duplicate key error collection: %s.%s index: %s dup key: { %s }",
		m.db, m.coll, index, strings.Join(text, ", ")).
		WithInfo("keyPattern", value.D(pattern...)).WithInfo("keyValue", value.D(key...))
}
