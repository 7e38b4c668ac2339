package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// compileFilters compiles the array filters and checks that the paths use
// each of them and no others.
func (c *operators) compileFilters(u bson.Raw) error {
	c.filters = map[string]*query.Matcher{}
	for _, f := range c.opts.ArrayFilters {
		m, err := query.Compile(f, c.opts.matching())
		if err != nil {
			return err
		}
		id, err := filterName(f)
		if err != nil {
			return err
		}
		if c.filters[id] != nil {
			return mongoerr.New(mongoerr.FailedToParse, "Found multiple array filters with the same top-level field name %s", id)
		}
		c.filters[id] = m
	}
	used := map[string]bool{}
	for _, o := range c.ops {
		for _, comp := range o.path {
			id, ok := filterID(comp)
			if !ok || id == "" {
				continue
			}
			if c.filters[id] == nil {
				return mongoerr.New(mongoerr.BadValue, "No array filter found for identifier '%s' in path '%s'", id, o.text)
			}
			used[id] = true
		}
	}
	for _, f := range c.opts.ArrayFilters {
		if id, _ := filterName(f); !used[id] {
			return mongoerr.New(mongoerr.FailedToParse, "The array filter for identifier '%s' was not used in the update %s", id, rawdoc.RenderDoc(u))
		}
	}
	return nil
}

// matching returns the options that conditions inside an update compile with:
// there is no $expr in them.
func (o Options) matching() query.Options { return query.Options{Let: o.Let, Collation: o.Collation} }

// filterName returns the one top-level name that an array filter is about.
func filterName(f bson.Raw) (string, error) {
	id, err := topName(f, "")
	switch {
	case err != nil:
		return "", err
	case id == "":
		return "", mongoerr.New(mongoerr.FailedToParse, "Cannot use an expression without a top-level field name in arrayFilters")
	case id[0] < 'a' || id[0] > 'z' || strings.ContainsFunc(id, notAlphanumeric):
		return "", mongoerr.New(mongoerr.BadValue, "Error parsing array filter :: caused by :: The top-level field name must be an alphanumeric string beginning with a lowercase letter, found '%s'", id)
	}
	return id, nil
}

func notAlphanumeric(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}

func topName(f bson.Raw, seen string) (string, error) {
	for k, v := range value.Elements(f) {
		if k == "$and" || k == "$or" || k == "$nor" {
			for _, sub := range value.Elements(v.Value) {
				var err error
				if seen, err = topName(sub.Value, seen); err != nil {
					return "", err
				}
			}
			continue
		}
		if strings.HasPrefix(k, "$") {
			continue
		}
		id, _, _ := strings.Cut(k, ".")
		if seen != "" && seen != id {
			return "", mongoerr.New(mongoerr.FailedToParse, "Error parsing array filter :: caused by :: Expected a single top-level field name, found '%s' and '%s'", seen, id)
		}
		seen = id
	}
	return seen, nil
}
