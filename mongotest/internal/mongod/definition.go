package mongod

import (
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxStages is how many stages a pipeline may have.
const maxStages = 1000

// tooManyStages is the server's code for more.
const tooManyStages mongoerr.Code = 7749501

// checkDefinition refuses a validator or a view that could never work: those of
// create, and of collMod on c, which else is nil.
func (op *operation) checkDefinition(tx *storage.Tx, coll string, options bson.Raw, c *storage.Collection) error {
	if v, ok := options.Lookup("validator").DocumentOK(); ok && len(v) > emptyDocLen {
		if err := op.checkValidator(coll, v); err != nil {
			return err
		}
	}
	if options.Lookup("timeseries").Type != 0 && c == nil && !strings.HasPrefix(coll, timeseries.BucketsPrefix) {
		if err := timeseries.CheckCreate(op.req.DB+"."+coll, options); err != nil {
			return err
		}
	}
	on, isView := options.Lookup("viewOn").StringValueOK()
	pipeline, err := documentsOf(bson.Raw(options.Lookup("pipeline").Value))
	if err != nil {
		return err
	}
	if c != nil && c.IsTimeseries() {
		return nil
	}
	if c != nil && c.IsView() {
		oldOn, oldPipeline := c.View()
		if !isView {
			on, isView = oldOn, true
		}
		if options.Lookup("pipeline").Type == 0 {
			if pipeline, err = documentsOf(oldPipeline); err != nil {
				return err
			}
		}
	}
	if !isView || on == "" {
		return nil
	}
	by := c.Collation()
	if d, ok := options.Lookup("collation").DocumentOK(); ok {
		if by, err = collation.Parse(d); err != nil {
			return err
		}
	}
	return op.checkView(tx, coll, on, pipeline, by)
}

// checkValidator compiles a validator as writes will.
func (op *operation) checkValidator(coll string, validator bson.Raw) error {
	if isInternalDB(op.req.DB) {
		return mongoerr.New(mongoerr.InvalidOptions, "Document validators are not allowed on collection %s.%s in the %s internal database", op.req.DB, coll, op.req.DB)
	}
	if strings.HasPrefix(coll, "system.") && !strings.HasPrefix(coll, timeseries.BucketsPrefix) {
		return mongoerr.New(mongoerr.InvalidOptions, "Document validators not allowed on system collection %s.%s", op.req.DB, coll)
	}
	if _, err := query.Compile(validator, query.Options{Expr: aggregate.ExprHook(aggregate.NewVars(nil, time.Now(), bson.Timestamp{}))}); err != nil {
		return err
	}
	if hasScript(validator) {
		return mongoerr.New(4660800, "$function cannot be used inside a validator.")
	}
	return checkExpressions(validator)
}

// checkExpressions compiles the expressions of $expr, which a filter leaves to
// its first document.
func checkExpressions(filter bson.Raw) error {
	for name, v := range value.Elements(filter) {
		switch name {
		case "$expr":
			if _, err := aggregate.CompileExpr(v); err != nil {
				return err
			}
		case "$and", "$or", "$nor":
			for _, e := range value.Elements(bson.Raw(v.Value)) {
				if d, ok := e.DocumentOK(); ok {
					if err := checkExpressions(d); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// checkView compiles the pipeline of a view and follows what it reads.
func (op *operation) checkView(tx *storage.Tx, name, on string, pipeline []bson.Raw, by *collation.Collation) error {
	if err := checkNS(op.req.DB, on); err != nil {
		return err
	}
	if strings.HasPrefix(on, "$") {
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace for 'viewOn': %s.%s", op.req.DB, on)
	}
	if len(pipeline) > maxStages {
		return mongoerr.New(tooManyStages, "Pipeline length must be no longer than %d stages", maxStages)
	}
	for _, stage := range pipeline {
		if err := mayBeInView(stage); err != nil {
			return err
		}
	}
	rest := pipeline
	if len(rest) > 0 && slices.Contains([]string{"$collStats", "$indexStats"}, firstStage(rest)) {
		rest = rest[1:]
	}
	if _, err := aggregate.CompilePipeline(rest, aggregate.Env{DB: op.req.DB, Vars: aggregate.NewVars(nil, time.Now(), bson.Timestamp{}), Reader: reader{op: op}}); err != nil {
		return err
	}
	return op.checkViewGraph(tx, name, append(readBy(pipeline), on), by, 1)
}

// mayBeInView refuses stages that write, that have no collection to read, and
// what is no stage.
func mayBeInView(stage bson.Raw) error {
	if fieldCount(stage) != 1 {
		return mongoerr.New(40323, "A pipeline stage specification object must contain exactly one field.")
	}
	switch name := firstStage([]bson.Raw{stage}); name {
	case "$out", "$merge", "$changeStream":
		return mongoerr.New(mongoerr.OptionNotSupportedOnView, "The aggregation stage %s in the pipeline of a view is not allowed", name)
	case "$currentOp", "$listSessions", "$listLocalSessions", "$documents":
		return mongoerr.New(mongoerr.InvalidNamespace, "%s must be run against the database, not a collection or view", name)
	}
	return nil
}

// readBy returns the other collections that a pipeline reads.
func readBy(pipeline []bson.Raw) []string {
	var from []string
	note := func(v bson.RawValue) {
		if s, ok := v.StringValueOK(); ok {
			from = append(from, s)
		}
	}
	for _, stage := range pipeline {
		name := firstStage([]bson.Raw{stage})
		v := stage.Lookup(name)
		d, _ := v.DocumentOK()
		switch name {
		case "$lookup", "$graphLookup":
			note(d.Lookup("from"))
		case "$unionWith":
			note(v)
			note(d.Lookup("coll"))
		case "$facet":
			for _, sub := range value.Elements(d) {
				stages, _ := documentsOf(bson.Raw(sub.Value))
				from = append(from, readBy(stages)...)
			}
			continue
		}
		if inner := d.Lookup("pipeline"); inner.Type == bson.TypeArray {
			stages, _ := documentsOf(bson.Raw(inner.Value))
			from = append(from, readBy(stages)...)
		}
	}
	return from
}

// checkViewGraph refuses views that read themselves, views with another collation
// than by, and more than maxViewDepth of them on each other.
func (op *operation) checkViewGraph(tx *storage.Tx, name string, from []string, by *collation.Collation, depth int) error {
	if depth > maxViewDepth {
		return mongoerr.New(mongoerr.ViewDepthLimitExceeded, "View depth limit exceeded; maximum depth is %d", maxViewDepth)
	}
	for _, f := range from {
		if f == name {
			return mongoerr.New(mongoerr.GraphContainsCycle, "View cycle detected: %s.%s reads itself", op.req.DB, name)
		}
		c := tx.Collection(op.req.DB + "." + f)
		if c == nil || !c.IsView() {
			continue
		}
		if !by.Same(c.Collation()) {
			return mongoerr.New(mongoerr.OptionNotSupportedOnView, "View %s.%s has conflicting collation with view %s", op.req.DB, name, c.NS)
		}
		on, own := c.View()
		stages, err := documentsOf(own)
		if err != nil {
			return err
		}
		if err := op.checkViewGraph(tx, name, append(readBy(stages), on), by, depth+1); err != nil {
			return err
		}
	}
	return nil
}
