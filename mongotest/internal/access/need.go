package access

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A rule says what a command needs.
type rule func(req *command.Request) []Need

// Needs returns what a command needs. known is false if there is no rule for
// it, which only the commands no server has may be.
func Needs(req *command.Request) (list []Need, known bool) {
	switch {
	case req.Name == "explain":
		return explainNeeds(req), true
	case req.Name == "applyOps":
		return append(needs(Resource{Cluster: true}, "applyOps"), operationNeeds(req)...), true
	case req.Name == "_mergeAuthzCollections":
		return needs(Resource{DB: "admin"}, "createUser", "createRole", "dropUser", "dropRole", "grantRole"), true
	case strings.HasPrefix(req.Name, "_"):
		return needs(Resource{Cluster: true}, "internal"), true // between the cluster's own processes
	}
	r, known := rules[req.Name]
	if !known {
		return nil, false
	}
	return r(req), true
}

// explainNeeds are the needs of the explained command.
func explainNeeds(req *command.Request) []Need {
	inner, ok := req.Body.Lookup("explain").DocumentOK()
	if !ok {
		return nil
	}
	first, err := inner.IndexErr(0)
	if err != nil {
		return nil
	}
	out, _ := Needs(&command.Request{Name: first.Key(), DB: req.DB, Body: inner, Client: req.Client})
	return out
}

// operationNeeds are the needs of the operations that applyOps carries out.
func operationNeeds(req *command.Request) []Need {
	actions := map[string][]string{"i": {"insert", "update"}, "u": {"update"}, "d": {"remove"}}
	ops, _ := req.Docs("applyOps") // a wrong one is refused when it is carried out
	var out []Need
	for _, op := range ops {
		kind, _ := op.Lookup("op").StringValueOK()
		ns, _ := op.Lookup("ns").StringValueOK()
		target := namespace(ns)
		out = append(out, needs(target, actions[kind]...)...)
		if o, _ := op.Lookup("o").DocumentOK(); kind == "c" {
			out = append(out, entryNeeds(req, target.DB, o)...)
		}
	}
	return out
}

// entryNeeds are the needs of a command as the oplog has it.
func entryNeeds(req *command.Request, db string, o bson.Raw) []Need {
	first, err := o.IndexErr(0)
	if err != nil {
		return nil
	}
	if strings.HasSuffix(first.Key(), "IndexBuild") {
		coll, _ := first.Value().StringValueOK()
		return needs(Resource{DB: db, Coll: coll}, "createIndex")
	}
	out, _ := Needs(&command.Request{Name: first.Key(), DB: db, Body: o, Client: req.Client})
	return out
}

// Authorize refuses a command that needs more than the privileges of its user
// allow.
func (ps Privileges) Authorize(req *command.Request) error {
	needs, _ := Needs(req)
	for _, n := range needs {
		if !ps.Allow(n) {
			return mongoerr.New(mongoerr.Unauthorized, "not authorized on %s to execute command %s", req.DB, shown(req.Body))
		}
	}
	return nil
}

// secrets are the fields that a message does not show.
var secrets = map[string]bool{"pwd": true, "payload": true, "key": true}

// shown renders a command for the message that refuses it.
func shown(body bson.Raw) string {
	var pairs []any
	for name, v := range value.Elements(body) {
		if secrets[name] {
			v = value.String("xxx")
		}
		pairs = append(pairs, name, v)
	}
	return rawdoc.RenderDoc(value.D(pairs...))
}

// nothing is the rule of commands that every user may run.
func nothing(*command.Request) []Need { return nil }

// onColl is the rule of commands that act on the collection they name.
func onColl(actions ...string) rule {
	return func(req *command.Request) []Need { return needs(collection(req), actions...) }
}

// onNS is the rule of commands whose first field is "db.coll".
func onNS(actions ...string) rule {
	return func(req *command.Request) []Need { return needs(namespace(req.Collection()), actions...) }
}

// onDB is the rule of commands on the whole database.
func onDB(actions ...string) rule {
	return func(req *command.Request) []Need { return needs(Resource{DB: req.DB}, actions...) }
}

// onServer is the rule of commands on the cluster.
func onServer(actions ...string) rule {
	return func(*command.Request) []Need { return needs(Resource{Cluster: true}, actions...) }
}

// onConfig is the rule of commands that are a write or a read of one of the
// cluster's own collections.
func onConfig(coll string, actions ...string) rule {
	return func(*command.Request) []Need { return needs(Resource{DB: "config", Coll: coll}, actions...) }
}

func needs(r Resource, actions ...string) []Need {
	out := make([]Need, len(actions))
	for i, a := range actions {
		out[i] = Need{r, a}
	}
	return out
}

func collection(req *command.Request) Resource { return Resource{DB: req.DB, Coll: req.Collection()} }

func namespace(ns string) Resource {
	db, coll, _ := strings.Cut(ns, ".")
	return Resource{DB: db, Coll: coll}
}

// rules has a rule for every command.
var rules = join(sessionRules, dataRules, schemaRules, serverRules, shardingRules, accountRules)

func join(families ...map[string]rule) map[string]rule {
	all := map[string]rule{}
	for _, f := range families {
		for name, r := range f {
			all[name] = r
		}
	}
	return all
}
