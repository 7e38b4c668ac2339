package aggregate

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

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
	raw, err := mergeArgs(spec)
	if err != nil {
		return nil, err
	}
	db, coll, err := mergeTarget(raw["into"], env)
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

// mergeArgs reads a $merge, whose short form is the name of the collection.
func mergeArgs(spec bson.RawValue) (map[string]bson.RawValue, error) {
	switch spec.Type {
	case bson.TypeString:
		return map[string]bson.RawValue{"into": spec}, nil
	case bson.TypeEmbeddedDocument:
		return typedArgs("$merge", spec.Value, fieldTypes{
			"into": nil, "on": nil, "let": {bson.TypeEmbeddedDocument}, "whenMatched": nil, "whenNotMatched": {bson.TypeString}, "targetCollectionVersion": nil,
		}, "into")
	default:
		return nil, mongoerr.New(mongoerr.TypeMismatch, "$merge requires a string or object argument, but found %s", typeName(spec))
	}
}

// mergeTarget reads a collection given as "coll" or {db, coll}.
func mergeTarget(v bson.RawValue, env Env) (db, coll string, err error) {
	switch v.Type {
	case bson.TypeString:
		db, coll = env.DB, v.StringValue()
	case bson.TypeEmbeddedDocument:
		str := []bson.Type{bson.TypeString}
		raw, err := typedArgs("$merge.into", v.Value, fieldTypes{"db": str, "coll": str})
		if err != nil {
			return "", "", err
		}
		db = env.DB
		if d, given := raw["db"]; given {
			db = d.StringValue()
		}
		c, given := raw["coll"]
		if !given {
			return "", "", mongoerr.New(5786801, "Invalid $merge target namespace: 'coll' must be given")
		}
		coll = c.StringValue()
	default:
		return "", "", mongoerr.New(51178, "$merge 'into' field must be either a string or an object, but found %s", typeName(v))
	}
	if coll == "" {
		return "", "", mongoerr.New(5786800, "Invalid $merge target namespace: '%s.'", db)
	}
	return db, coll, nil
}

func (m *merge) options(raw map[string]bson.RawValue) error {
	if on, given := raw["on"]; given && on.Type != bson.TypeNull {
		if err := m.readOn(on); err != nil {
			return err
		}
	}
	w, given := raw["whenMatched"]
	switch {
	case !given || w.Type == bson.TypeNull:
	case w.Type == bson.TypeString:
		m.matched = w.StringValue()
	case w.Type != bson.TypeArray:
		return mongoerr.New(51191, "$merge 'whenMatched' field must be either a string or an array, but found %s", typeName(w))
	default:
		stages, err := subPipeline("$merge", w, m.env)
		if err != nil {
			return err
		}
		if m.stages, err = CompileTransform(stages); err != nil {
			return err
		}
	}
	if let, given := raw["let"]; given {
		if m.stages == nil {
			return mongoerr.New(51199, "Cannot use 'let' variables with 'whenMatched: %s' mode", m.matched)
		}
		if err := m.readLet(let.Value); err != nil {
			return err
		}
	}
	if n, given := raw["whenNotMatched"]; given {
		m.missing = n.StringValue()
	}
	return m.checkModes()
}

func (m *merge) readOn(on bson.RawValue) error {
	fields := []bson.RawValue{on}
	switch on.Type {
	case bson.TypeString:
	case bson.TypeArray:
		if fields = rawdoc.Values(on.Value); len(fields) == 0 {
			return mongoerr.New(51187, "If explicitly specifying $merge 'on', must include at least one field")
		}
	default:
		return mongoerr.New(51186, "$merge 'on' field must be either a string or an array of strings, but found %s", typeName(on))
	}
	m.on = nil
	for _, v := range fields {
		s, ok := v.StringValueOK()
		if !ok {
			return mongoerr.New(51134, "$merge 'on' array elements must be strings, but found %s", typeName(v))
		}
		if err := checkPath(strings.Split(s, ".")); err != nil {
			return err
		}
		if slices.Contains(m.on, s) {
			return mongoerr.New(31465, "Found a duplicate field '%s' in the $merge 'on' array", s)
		}
		m.on = append(m.on, s)
	}
	return nil
}

func (m *merge) readLet(let bson.Raw) error {
	for k, v := range value.Elements(let) {
		if err := checkVariable(k); err != nil {
			return err
		}
		if s, _ := v.StringValueOK(); k == "new" && s != "$$ROOT" {
			return mongoerr.New(51273, "'let' may not define a value for the reserved 'new' variable other than '$$ROOT'")
		}
		fn, err := compile(v)
		if err != nil {
			return err
		}
		m.letNames, m.letExprs = append(m.letNames, k), append(m.letExprs, fn)
	}
	return nil
}

// checkModes refuses what is no mode, and what makes no sense together.
func (m *merge) checkModes() error {
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
	if (m.matched == "keepExisting" || m.matched == "fail") && m.stages == nil && m.missing != "insert" {
		return mongoerr.New(51181, "Combination of $merge modes 'whenMatched: %s' and 'whenNotMatched: %s' is not supported", m.matched, m.missing)
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
