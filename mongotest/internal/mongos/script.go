package mongos

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/javascript"
)

// A script runs the JavaScript of the part of a pipeline that runs on the
// router. It implements aggregate.Script.
type script struct {
	bound  *binding
	cfg    javascript.Config
	engine *javascript.Engine // nil until the first script
}

// script returns what runs the JavaScript of a pipeline of o.
func (o *op) script(bound *binding) *script {
	s := &script{bound: bound, cfg: javascript.Config{Version: o.r.cfg.Version.String()}}
	if getBool(o.req.Body, "isMapReduceCommand", false) {
		s.cfg.Scope = getDoc(getDoc(o.req.Body, "runtimeConstants"), "jsScope")
		s.cfg.Stored = s.stored
	}
	return s
}

func (s *script) stored() ([]bson.Raw, error) {
	src, err := reader{s.bound}.Open(s.bound.ctx, s.bound.op.req.DB, "system.js")
	if err != nil {
		return nil, err
	}
	return aggregate.Collect(s.bound.ctx, src)
}

func (s *script) start() *javascript.Engine {
	if s.engine == nil {
		s.engine = javascript.New(s.cfg)
	}
	return s.engine
}

// Call implements aggregate.Script.
func (s *script) Call(code string, args []bson.RawValue) (bson.RawValue, error) {
	return s.start().Call(s.bound.ctx, code, args)
}

// Map implements aggregate.Script.
func (s *script) Map(code string, doc bson.Raw, emit func(k, v bson.RawValue) error) error {
	return s.start().Map(s.bound.ctx, code, doc, emit)
}
