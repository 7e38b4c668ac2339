package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A language compiles the filters and projections of one command, with its
// variables. It is not safe for concurrent use.
type language struct {
	let    bson.Raw // evaluated
	vars   aggregate.Vars
	exprs  map[string]*aggregate.Expr
	script *script
}

// language returns the language of op's command, with its let variables. Strings
// are compared by coll.
func (op *operation) language(let bson.Raw, coll *collation.Collation) (*language, error) {
	now, ts := op.node.now(), op.node.cfg.Clock.Now()
	l := &language{vars: aggregate.NewVars(nil, now, ts).Collated(coll), exprs: map[string]*aggregate.Expr{}, script: op.script()}
	l.vars = l.vars.WithScript(l.script)
	if isEmpty(let) {
		return l, nil
	}
	var err error
	if l.let, err = aggregate.EvalLet(let, l.vars); err != nil {
		return nil, err
	}
	l.vars = aggregate.NewVars(l.let, now, ts).Collated(coll).WithScript(l.script)
	return l, nil
}

// with returns l with more variables, which hide those of the same name.
func (l *language) with(constants bson.Raw, op *operation) *language {
	let := without(l.let, func(name string) bool { return constants.Lookup(name).Type != 0 })
	for name, v := range value.Elements(constants) {
		let = appendFields(let, name, v)
	}
	return &language{
		let: let, vars: aggregate.NewVars(let, op.node.now(), op.node.cfg.Clock.Now()).Collated(l.vars.Collation()).WithScript(l.script),
		exprs: map[string]*aggregate.Expr{}, script: l.script,
	}
}

func (l *language) options() query.Options {
	return query.Options{Let: l.let, Collation: l.vars.Collation(), Expr: aggregate.ExprHook(l.vars), Value: l.eval, Text: query.TextAllowed}
}

// eval is query.Options.Value: an aggregation expression in a projection.
func (l *language) eval(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error) {
	key := string(byte(expr.Type)) + string(expr.Value)
	e, ok := l.exprs[key]
	if !ok {
		var err error
		if e, err = aggregate.CompileExpr(expr); err != nil {
			return bson.RawValue{}, err
		}
		l.exprs[key] = e
	}
	v, missing, err := e.Eval(doc, l.vars)
	if missing {
		return bson.RawValue{}, err
	}
	return v, err
}

// filter compiles a command's filter; nil means everything.
func (l *language) filter(f bson.Raw) (*query.Matcher, error) {
	o := l.options()
	o.Near = true
	if l.script.expect(f) {
		o.Where = l.script.where
	}
	return compileFilter(f, o)
}

// listFilter compiles the filter of a command that lists what the server has.
func (l *language) listFilter(f bson.Raw) (*query.Matcher, error) {
	return compileFilter(f, l.options())
}

// stageFilter compiles the filter of a $match, in which only mapReduce may have
// $where.
func (l *language) stageFilter(f bson.Raw, mapReduce bool) (*query.Matcher, error) {
	o := l.options()
	if l.script.expect(f) && mapReduce {
		o.Where = l.script.where
	}
	return compileFilter(f, o)
}

func compileFilter(f bson.Raw, o query.Options) (*query.Matcher, error) {
	if f == nil {
		f = emptyDoc()
	}
	return query.Compile(f, o)
}

// projection compiles a projection for documents that m matches; nil for none.
func (l *language) projection(spec bson.Raw, m *query.Matcher) (*query.Projection, error) {
	if isEmpty(spec) {
		return nil, nil
	}
	o := l.options()
	o.Matcher = m
	return query.CompileProjection(spec, o)
}
