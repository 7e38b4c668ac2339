package topology

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Select returns the cluster as if it held only what route leads to the other
// side, still under its own names, and the collections that are left out.
func (c *Cluster) Select(route shardferry.Route) (selected *Cluster, left []Collection) {
	s := *c
	s.Databases, s.Collections = nil, nil
	for _, d := range c.Databases {
		if _, ok := route.Database(d.Name); ok {
			s.Databases = append(s.Databases, d)
		}
	}
	for i := range c.Collections {
		if _, ok := route.To(c.Collections[i].NS); ok {
			s.Collections = append(s.Collections, c.Collections[i])
		} else {
			left = append(left, c.Collections[i])
		}
	}
	return &s, left
}

// CheckRoute lists what stands in the way of syncing a selected source under the
// names that route gives.
func CheckRoute(src *Cluster, route shardferry.Route) []Problem {
	var found []Problem
	for _, d := range src.Databases {
		if route.Ambiguous(d.Name) {
			found = append(found, Problem{
				What:   fmt.Sprintf("the database %s keeps its name, which namespaceRemap gives to another one", d.Name),
				Advice: "give it another name too, or exclude it",
				Fatal:  true,
			})
		}
	}
	for i := range src.Collections {
		c := &src.Collections[i]
		if route.Taken(c.NS) && !route.Ambiguous(c.NS.DB) {
			found = append(found, Problem{
				What:   fmt.Sprintf("the collection %s keeps its name, which collectionRemap gives to another one", c.NS),
				Advice: "give it another name too, or exclude it",
				Fatal:  true,
			})
		}
		if c.Type != TypeView {
			continue
		}
		if ns, ok := astray(route, c.NS.DB, c.Options); ok {
			found = append(found, Problem{
				What:   fmt.Sprintf("the view %s reads %s, which is another collection on the destination by collectionRemap", c.NS, ns),
				Advice: "let that keep its name, or exclude the view",
				Fatal:  true,
			})
		}
	}
	return append(found, checkFilters(src, route)...)
}

// astray returns a namespace that a view of a database reads and that is not the
// same one under the same name on the other side. Views name what they read, and
// come with the source's definition.
func astray(route shardferry.Route, db string, options bson.Raw) (shardferry.Namespace, bool) {
	name, _ := options.Lookup("viewOn").StringValueOK()
	for _, name := range append(reads(options.Lookup("pipeline")), name) {
		if ns := (shardferry.Namespace{DB: db, Coll: name}); name != "" && !route.Keeps(ns) {
			return ns, true
		}
	}
	return shardferry.Namespace{}, false
}

// reads returns the collections that the stages of a pipeline name, those of
// pipelines inside it too.
func reads(v bson.RawValue) []string {
	if v.Type != bson.TypeArray && v.Type != bson.TypeEmbeddedDocument {
		return nil
	}
	elems, err := bson.Raw(v.Value).Elements() // an array is a document with numbers for names
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range elems {
		switch e.Key() {
		case "$lookup", "$graphLookup":
			if spec, ok := e.Value().DocumentOK(); ok {
				name, _ := spec.Lookup("from").StringValueOK()
				names = append(names, name)
			}
		case "$unionWith":
			name, ok := e.Value().StringValueOK()
			if spec, isDoc := e.Value().DocumentOK(); !ok && isDoc {
				name, _ = spec.Lookup("coll").StringValueOK()
			}
			names = append(names, name)
		}
		names = append(names, reads(e.Value())...)
	}
	return names
}

// Along returns the plan under the names that the destination has for it.
func (p *Plan) Along(route shardferry.Route) *Plan {
	named := *p
	named.Databases, named.Collections, named.Views = nil, nil, nil
	for _, d := range p.Databases {
		d.Name, _ = route.Database(d.Name)
		named.Databases = append(named.Databases, d)
	}
	for _, c := range p.Collections {
		c.NS, _ = route.To(c.NS)
		named.Collections = append(named.Collections, c)
	}
	for _, v := range p.Views {
		v.NS, _ = route.To(v.NS)
		named.Views = append(named.Views, v)
	}
	return &named
}
