package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry"
)

// selectionFlags choose what is synced. Expressions are for the configuration
// file and the API.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "include", Usage: "sync only this `DATABASE[.COLLECTION]`; may be repeated"},
		&cli.StringSliceFlag{Name: "exclude", Usage: "do not sync this `DATABASE[.COLLECTION]`; may be repeated, and wins over --include"},
		&cli.StringSliceFlag{Name: "rename-database", Usage: "call a database by another name on the destination, as `FROM=TO`; may be repeated"},
		&cli.StringSliceFlag{Name: "rename-collection", Usage: "call a collection by another name in its database on the destination, as `DATABASE.COLLECTION=DATABASE.COLLECTION`; may be repeated"},
		&cli.GenericFlag{Name: "document-filter", Value: &texts{}, Usage: "move only the documents of a collection of the source that match a query in extended JSON, as `DATABASE.COLLECTION=QUERY`; may be repeated. There is no way back then"},
	}
}

// texts are the values of a flag that may be repeated, commas and all.
type texts []string

// Set implements cli.Generic.
func (t *texts) Set(value string) error { *t = append(*t, value); return nil }

func (t *texts) String() string { return "" }

// takeSelection reads the flags into s. Those that are given replace what s
// holds of their kind.
func takeSelection(c *cli.Context, s *shardferry.Selection) error {
	if names := c.StringSlice("include"); len(names) > 0 {
		s.Include = rulesOf(names)
	}
	if names := c.StringSlice("exclude"); len(names) > 0 {
		s.Exclude = rulesOf(names)
	}
	if pairs := c.StringSlice("rename-database"); len(pairs) > 0 {
		s.Remap = nil
		for _, pair := range pairs {
			from, to, ok := strings.Cut(pair, "=")
			if !ok {
				return usage("--rename-database %q: want FROM=TO", pair)
			}
			s.Remap = append(s.Remap, shardferry.DatabaseRemap{
				From: shardferry.DatabaseName{Database: from}, To: shardferry.DatabaseName{Database: to},
			})
		}
	}
	if pairs := c.StringSlice("rename-collection"); len(pairs) > 0 {
		s.RemapCollections = nil
		for _, pair := range pairs {
			m, err := remapOf(pair)
			if err != nil {
				return usage("--rename-collection %q: %w", pair, err)
			}
			s.RemapCollections = append(s.RemapCollections, m)
		}
	}
	if filters, ok := c.Generic("document-filter").(*texts); ok && len(*filters) > 0 {
		s.Documents = nil
		for _, text := range *filters {
			f, err := filterOf(text)
			if err != nil {
				return usage("--document-filter %q: %w", text, err)
			}
			s.Documents = append(s.Documents, f)
		}
	}
	if _, err := s.Forward(); err != nil {
		return usage("what to sync (--include, --exclude, --rename-database, --rename-collection, --document-filter): %w", err)
	}
	return nil
}

func remapOf(pair string) (m shardferry.CollectionRemap, err error) {
	names := strings.Split(pair, "=")
	if len(names) != 2 {
		return m, errors.New("want DATABASE.COLLECTION=DATABASE.COLLECTION (a name with an equals sign goes into the file of --config)")
	}
	var ns [2]shardferry.Namespace
	for i, name := range names {
		if ns[i], err = shardferry.ParseNamespace(name); err != nil {
			return m, err
		}
	}
	m.From = shardferry.CollectionName{Database: ns[0].DB, Collection: ns[0].Coll}
	m.To = shardferry.CollectionName{Database: ns[1].DB, Collection: ns[1].Coll}
	return m, nil
}

func filterOf(text string) (f shardferry.DocumentFilter, err error) {
	name, query, ok := strings.Cut(text, "=")
	if !ok {
		return f, errors.New(`want DATABASE.COLLECTION=QUERY, as in shop.orders={"region":"eu"} (a name with an equals sign goes into the file of --config)`)
	}
	ns, err := shardferry.ParseNamespace(name)
	if err != nil {
		return f, err
	}
	f.Database, f.Collection = ns.DB, ns.Coll
	f.Filter, err = shardferry.ParseFilter([]byte(query))
	return f, err
}

// rulesOf makes a rule of each database, or of each collection in one.
func rulesOf(names []string) []shardferry.NamespaceRule {
	rules := make([]shardferry.NamespaceRule, 0, len(names))
	for _, name := range names {
		db, coll, _ := strings.Cut(name, ".")
		r := shardferry.NamespaceRule{Database: db}
		if coll != "" {
			r.Collections = []string{coll}
		}
		rules = append(rules, r)
	}
	return rules
}

// sameSelection makes sure that a sync which goes on does what it is asked for:
// nothing is asked for, or what it was started with.
func sameSelection(asked, started shardferry.Selection) error {
	a, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	b, err := json.Marshal(started)
	if err != nil || asked.IsZero() || string(a) == string(b) {
		return err
	}
	return fmt.Errorf("this sync was started with another choice of namespaces or documents, which cannot be changed: leave --include, --exclude, --rename-database, --rename-collection and --document-filter out to continue it, or start a new sync with another --data-dir and an empty destination")
}

// sameUsers makes sure that a sync which goes on brings users over if it is asked
// to. One that does goes on with it without being asked.
func sameUsers(asked, started bool) error {
	if !asked || started {
		return nil
	}
	return errors.New("this sync was started without --with-users, which cannot be changed: leave it out to continue, or start a new sync with another --data-dir and an empty destination")
}
