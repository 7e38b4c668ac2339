package topology

import (
	"fmt"

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
	return found
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
