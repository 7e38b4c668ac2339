package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runExplain says which index a find, count, distinct, aggregate, update,
// delete or findAndModify would use. It is minimal: a queryPlanner section with
// the access stage.
func runExplain(_ context.Context, op *operation) (bson.Raw, error) {
	inner := op.args().doc("explain")
	if isEmpty(inner) {
		return nil, mongoerr.New(mongoerr.BadValue, "explain command requires a nested object")
	}
	sub := *op
	sub.req = &command.Request{Name: firstStage([]bson.Raw{inner}), DB: op.req.DB, Body: inner, Client: op.req.Client}
	coll, w, err := sub.explained()
	if err != nil {
		return nil, err
	}
	lang, err := op.language(sub.args().doc("let"))
	if err != nil {
		return nil, err
	}
	if w.filter == nil {
		w.filter = emptyDoc()
	}
	if w.matcher, err = lang.filter(w.filter); err != nil {
		return nil, err
	}
	stage := value.D("stage", "EOF")
	err = op.view(func(tx *storage.Tx) error {
		c := tx.Collection(op.req.DB + "." + coll)
		if c == nil || c.IsView() {
			return nil
		}
		p, err := makePlan(c, w)
		stage = p.describe()
		return err
	})
	if err != nil {
		return nil, err
	}
	return value.D(
		"explainVersion", "1",
		"queryPlanner", value.D("namespace", op.req.DB+"."+coll, "parsedQuery", w.filter, "winningPlan", stage, "rejectedPlans", value.A()),
		"command", inner,
		"serverInfo", value.D("host", op.node.cfg.Name, "version", op.node.cfg.Version),
	), nil
}

// explained returns what the explained command looks for.
func (op *operation) explained() (string, wanted, error) {
	coll, err := op.collName()
	if err != nil {
		return "", wanted{}, err
	}
	a := op.args()
	w := wanted{hint: a.lookup("hint"), sort: a.doc("sort")}
	switch op.req.Name {
	case "find":
		w.filter, w.min, w.max = a.doc("filter"), nonEmpty(a.doc("min")), nonEmpty(a.doc("max"))
	case "count", "distinct", "findAndModify", "findandmodify":
		w.filter = a.doc("query")
	case "aggregate":
		if stages := a.docs("pipeline"); len(stages) > 0 {
			w.filter, _ = stages[0].Lookup("$match").DocumentOK()
		}
	case "update", "delete":
		statements := a.docs(op.req.Name + "s")
		if len(statements) > 0 {
			w.filter, _ = statements[0].Lookup("q").DocumentOK()
			w.hint = statements[0].Lookup("hint")
		}
	default:
		return "", w, mongoerr.New(mongoerr.CommandNotFound, "Explain failed due to unknown command: %s", op.req.Name)
	}
	return coll, w, a.err
}

// describe renders the plan as explain's winningPlan.
func (p plan) describe() bson.Raw {
	direction := "forward"
	if len(p.ranges) > 0 && p.ranges[0].Reverse {
		direction = "backward"
	}
	access := value.D("stage", "COLLSCAN", "direction", direction)
	if p.index != "" {
		access = value.D("stage", "FETCH", "inputStage", value.D("stage", "IXSCAN", "keyPattern", p.key,
			"indexName", p.index, "isMultiKey", p.dedup, "direction", direction))
	}
	if !p.sorted {
		access = value.D("stage", "SORT", "inputStage", access)
	}
	return access
}
