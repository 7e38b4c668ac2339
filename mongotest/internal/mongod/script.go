package mongod

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/javascript"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A script runs the JavaScript of one operation and of the cursor that it
// leaves. It implements aggregate.Script. It belongs to the goroutine of the
// operation under way.
type script struct {
	// ctx is that of the operation under way: expressions are evaluated without
	// one.
	ctx    context.Context //nolint:containedctx // see above
	cfg    javascript.Config
	read   viewer // for system.js
	db     string
	engine *javascript.Engine // nil until the first script
	wanted bool               // the operation has JavaScript in a place that a lock guards
	judge  *judge             // while the storage is locked for a write
}

// script returns what runs the JavaScript of op.
func (op *operation) script() *script {
	if op.scripts == nil {
		op.scripts = &script{ctx: op.ctx, read: op.node.view, db: op.req.DB, cfg: javascript.Config{Version: op.node.cfg.Version.String()}}
	}
	return op.scripts
}

// hasScript reports whether a filter, update or stage may have JavaScript in
// it. A value may look like it, which does no harm.
func hasScript(doc []byte) bool {
	return bytes.Contains(doc, []byte("$where\x00")) || bytes.Contains(doc, []byte("$function\x00"))
}

// expect notes that what doc asks for may run scripts.
func (s *script) expect(doc []byte) bool {
	has := hasScript(doc)
	s.wanted = s.wanted || has
	return has
}

// serve makes ctx the one that ends scripts, until the returned function is
// called.
func (s *script) serve(ctx context.Context) (end func()) { //nolint:contextcheck // it goes back to the one before
	before := s.ctx
	s.ctx = ctx
	return func() { s.ctx = before }
}

// start returns the engine.
func (s *script) start() *javascript.Engine {
	if s.engine == nil {
		s.engine = javascript.New(s.cfg)
	}
	return s.engine
}

// withStored lets scripts see what system.js holds: those of $where and
// mapReduce do, those of aggregations do not.
func (s *script) withStored() {
	if s.engine == nil {
		s.cfg.Stored = s.stored
	}
}

func (s *script) stored() ([]bson.Raw, error) {
	var docs []bson.Raw
	err := s.read(func(tx *storage.Tx) error {
		c := tx.Collection(s.db + ".system.js")
		if c == nil {
			return nil
		}
		for _, rec := range tx.Scan(c, storage.ScanSpec{}) {
			docs = append(docs, rec.Doc)
		}
		return nil
	})
	return docs, err
}

// where is query.Options.Where.
func (s *script) where(code string) (func(doc bson.Raw) (bool, error), error) {
	s.withStored()
	if err := s.start().Compile(s.ctx, code); err != nil {
		return nil, err
	}
	return func(doc bson.Raw) (bool, error) {
		if s.judge != nil {
			a := s.judge.ask(question{code: code, doc: doc})
			return a.ok, a.err
		}
		return s.start().Test(s.ctx, code, doc)
	}, nil
}

// Call implements aggregate.Script.
func (s *script) Call(code string, args []bson.RawValue) (bson.RawValue, error) {
	if s.judge != nil {
		a := s.judge.ask(question{code: code, args: args})
		return a.value, a.err
	}
	return s.start().Call(s.ctx, code, args)
}

// Map implements aggregate.Script.
func (s *script) Map(code string, doc bson.Raw, emit func(k, v bson.RawValue) error) error {
	return s.start().Map(s.ctx, code, doc, emit)
}
