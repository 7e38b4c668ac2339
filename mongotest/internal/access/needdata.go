package access

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// dataRules are the rules of the commands that read and write documents.
var dataRules = map[string]rule{
	"find": onColl("find"), "count": onColl("find"), "distinct": onColl("find"),
	"aggregate": aggregateNeeds, "mapReduce": mapReduce, "mapreduce": mapReduce,
	"getMore": nothing, "killCursors": nothing, // a cursor belongs to the session that opened it
	"insert": insert, "update": update, "delete": onColl("remove"), "bulkWrite": bulkWrite,
	"findAndModify": findAndModify, "findandmodify": findAndModify,
	"datasize": onNS("find"), "dataSize": onNS("find"), "filemd5": onDB("find"),
}

func insert(req *command.Request) []Need {
	return append(needs(collection(req), "insert"), bypass(req)...)
}

// bypass is the need of a write that goes past the validator.
func bypass(req *command.Request) []Need {
	if value.Truthy(req.Body.Lookup("bypassDocumentValidation")) {
		return needs(collection(req), "bypassDocumentValidation")
	}
	return nil
}

func update(req *command.Request) []Need {
	out := append(needs(collection(req), "update"), bypass(req)...)
	updates, _ := req.Docs("updates") // a wrong one is refused when it is carried out
	for _, u := range updates {
		if value.Truthy(u.Lookup("upsert")) {
			return append(out, needs(collection(req), "insert")...)
		}
	}
	return out
}

func findAndModify(req *command.Request) []Need {
	out := append(needs(collection(req), "find"), bypass(req)...)
	if value.Truthy(req.Body.Lookup("remove")) {
		return append(out, needs(collection(req), "remove")...)
	}
	out = append(out, needs(collection(req), "update")...)
	if value.Truthy(req.Body.Lookup("upsert")) {
		out = append(out, needs(collection(req), "insert")...)
	}
	return out
}

// bulkWrite needs what each of its operations needs on the namespace it names.
func bulkWrite(req *command.Request) []Need {
	targets, _ := req.Docs("nsInfo")
	ops, _ := req.Docs("ops")
	var out []Need
	for _, o := range ops {
		e, err := o.IndexErr(0)
		if err != nil {
			continue
		}
		i, ok := value.AsInt64(e.Value())
		if !ok || i < 0 || i >= int64(len(targets)) {
			continue
		}
		ns, _ := targets[i].Lookup("ns").StringValueOK()
		actions := []string{e.Key()}
		switch {
		case e.Key() == "delete":
			actions = []string{"remove"}
		case value.Truthy(o.Lookup("upsert")):
			actions = append(actions, "insert")
		}
		for _, n := range needs(namespace(ns), actions...) {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// sourceNeeds are what the stages need that stand first and read something
// else than the collection.
var sourceNeeds = map[string]rule{
	"$changeStream": changeStream, "$collStats": onColl("collStats"), "$indexStats": onColl("indexStats"),
	"$currentOp": currentOp, "$listLocalSessions": nothing, "$listSessions": nothing, "$documents": nothing,
	"$planCacheStats": onColl("planCacheRead"), "$listSearchIndexes": onColl("listSearchIndexes"),
	"$querySettings": onServer("getClusterParameter"), "$listClusterCatalog": listCollections,
	"$shardedDataDistribution": onServer("shardedDataDistribution"), "$queue": nothing, "$_internalListCollections": nothing,
}

func aggregateNeeds(req *command.Request) []Need {
	stages := stagesIn(req.Body.Lookup("pipeline"))
	if len(stages) == 0 {
		return needs(collection(req), "find")
	}
	var out []Need
	if source, ok := sourceNeeds[stages[0].name]; ok {
		out = source(req)
	} else {
		out = needs(collection(req), "find")
	}
	return append(out, stageNeeds(req.DB, stages)...)
}

// mapReduce needs to read, and to write where its results go.
func mapReduce(req *command.Request) []Need {
	out := needs(collection(req), "find")
	target, ok := req.Body.Lookup("out").StringValueOK()
	r := Resource{DB: req.DB, Coll: target}
	if ok {
		return append(out, needs(r, "insert", "remove")...)
	}
	spec, _ := req.Body.Lookup("out").DocumentOK()
	if db, ok := spec.Lookup("db").StringValueOK(); ok {
		r.DB = db
	}
	for mode, action := range map[string]string{"replace": "remove", "merge": "update", "reduce": "update"} {
		if r.Coll, ok = spec.Lookup(mode).StringValueOK(); ok {
			return append(out, needs(r, "insert", action)...)
		}
	}
	return out
}

// changeStream needs to read what it watches: a collection, a database or all.
func changeStream(req *command.Request) []Need {
	r := collection(req)
	if r.Coll == "" && r.DB == "admin" {
		r.DB = "" // of the whole cluster
	}
	return needs(r, "find", "changeStream")
}

// currentOp needs a privilege to show what others do.
func currentOp(req *command.Request) []Need {
	for _, s := range stagesIn(req.Body.Lookup("pipeline")) {
		if d, ok := s.spec.DocumentOK(); ok && s.name == "$currentOp" && value.Truthy(d.Lookup("allUsers")) {
			return needs(Resource{Cluster: true}, "inprog")
		}
	}
	return nil
}

// A stage is one stage of a pipeline.
type stage struct {
	name string
	spec bson.RawValue
}

func stagesIn(pipeline bson.RawValue) []stage {
	arr, _ := pipeline.ArrayOK()
	var out []stage
	for _, v := range value.Elements(bson.Raw(arr)) {
		if d, ok := v.DocumentOK(); ok {
			if e, err := d.IndexErr(0); err == nil {
				out = append(out, stage{e.Key(), e.Value()})
			}
		}
	}
	return out
}

// stageNeeds are the needs of the stages that read or write other collections.
func stageNeeds(db string, stages []stage) []Need {
	var out []Need
	for _, s := range stages {
		spec, _ := s.spec.DocumentOK()
		text, _ := s.spec.StringValueOK()
		switch s.name {
		case "$lookup", "$graphLookup":
			out = append(out, fromNeeds(db, spec.Lookup("from"), spec)...)
		case "$unionWith":
			from := spec.Lookup("coll")
			if text != "" {
				from = s.spec
			}
			out = append(out, fromNeeds(db, from, spec)...)
		case "$facet":
			for _, sub := range value.Elements(spec) {
				out = append(out, stageNeeds(db, stagesIn(sub))...)
			}
		case "$out":
			out = append(out, needs(targetOf(db, s.spec), "insert", "remove")...)
		case "$merge":
			into := s.spec
			if spec != nil {
				into = spec.Lookup("into")
			}
			out = append(out, needs(targetOf(db, into), "insert", "update")...)
		}
	}
	return out
}

// fromNeeds are the needs of a stage that joins another collection.
func fromNeeds(db string, from bson.RawValue, spec bson.Raw) []Need {
	var out []Need
	if coll, ok := from.StringValueOK(); ok {
		out = needs(Resource{DB: db, Coll: coll}, "find")
	}
	return append(out, stageNeeds(db, stagesIn(spec.Lookup("pipeline")))...)
}

// targetOf is the collection that $out or $merge names: "coll" or {db, coll}.
func targetOf(db string, v bson.RawValue) Resource {
	if name, ok := v.StringValueOK(); ok {
		return Resource{DB: db, Coll: name}
	}
	d, _ := v.DocumentOK()
	coll, _ := d.Lookup("coll").StringValueOK()
	if other, ok := d.Lookup("db").StringValueOK(); ok {
		db = other
	}
	return Resource{DB: db, Coll: coll}
}
