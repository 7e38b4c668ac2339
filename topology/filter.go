package topology

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shardferry/shardferry"
)

// checkFilters lists the document filters that cannot be followed. A name that the
// source does not have is taken for a mistake: of the collection that was meant
// everything would be moved.
func checkFilters(src *Cluster, route shardferry.Route) []Problem {
	var found []Problem
	for ns := range route.Filters() {
		why := "the source does not have"
		if at := slices.IndexFunc(src.Collections, func(c Collection) bool { return c.NS == ns }); at >= 0 {
			why = src.Collections[at].notFiltered()
		}
		if why != "" {
			found = append(found, Problem{
				What:   fmt.Sprintf("documentFilters chooses documents of %s, which %s", ns, why),
				Advice: "leave that filter out, or correct its name",
				Fatal:  true,
			})
		}
	}
	slices.SortFunc(found, func(a, b Problem) int { return strings.Compare(a.What, b.What) })
	return found
}

// notFiltered returns why documents of the collection cannot be chosen, empty if
// they can. In a capped one a document that comes to match later would have to be
// put between others; where a collation compares, the filter does not mean the same
// in a change stream, which has none.
func (c *Collection) notFiltered() string {
	switch {
	case c.Type == TypeView:
		return "is a view"
	case c.Capped():
		return "is capped"
	case c.Collated():
		return "has a default collation"
	}
	return ""
}

// filtered returns why a new collection or view cannot have its name.
func (c *Changer) filtered(made Collection, on shardferry.Namespace) error {
	if why := made.notFiltered(); c.Route.Filter(on) != nil && why != "" {
		return fmt.Errorf("documentFilters chooses documents of %s, which %s: %w", on, why, ErrUnsupportedChange)
	}
	return nil
}

// renamable returns why a collection cannot get another name: whether documents are
// chosen goes by the name. What came under the one name would have to leave, or be
// read, under the other.
func (c *Changer) renamable(change shardferry.SchemaChange) error {
	for _, ns := range []shardferry.Namespace{change.NS, change.To} {
		if c.Route.Filter(ns) != nil {
			return fmt.Errorf("%s becomes %s, and documentFilters chooses documents of %s: %w", change.NS, change.To, ns, ErrUnsupportedChange)
		}
	}
	return nil
}
