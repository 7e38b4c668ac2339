package shardferry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Selection says which namespaces of the source are synced, which of its
// databases and collections have another name on the destination, and of which
// collections only some documents are synced. The zero value is everything under
// its own name. It never changes while a sync exists.
//
// Its JSON form is that of mongosync's start request, with which it shares all but
// the names of collections and the filters of documents.
type Selection struct {
	Include []NamespaceRule `bson:"include,omitempty" json:"includeNamespaces,omitempty" yaml:"includeNamespaces"` // empty: all
	Exclude []NamespaceRule `bson:"exclude,omitempty" json:"excludeNamespaces,omitempty" yaml:"excludeNamespaces"` // wins over Include
	Remap   []DatabaseRemap `bson:"remap,omitempty" json:"namespaceRemap,omitempty" yaml:"namespaceRemap"`

	RemapCollections []CollectionRemap `bson:"remapCollections,omitempty" json:"collectionRemap,omitempty" yaml:"collectionRemap"`

	Documents []DocumentFilter `bson:"documents,omitempty" json:"documentFilters,omitempty" yaml:"documentFilters"`
}

// A NamespaceRule matches collections and views: of one database or of those
// whose name an expression matches, all of them or some.
type NamespaceRule struct {
	Database         string   `bson:"database,omitempty" json:"database,omitempty" yaml:"database"`
	DatabaseRegex    *Regex   `bson:"databaseRegex,omitempty" json:"databaseRegex,omitempty" yaml:"databaseRegex"`
	Collections      []string `bson:"collections,omitempty" json:"collections,omitempty" yaml:"collections"`
	CollectionsRegex *Regex   `bson:"collectionsRegex,omitempty" json:"collectionsRegex,omitempty" yaml:"collectionsRegex"`
}

// A Regex is a regular expression that matches anywhere in a name. The options
// are i, m and s, as for the server's $regex.
type Regex struct {
	Pattern string `bson:"pattern" json:"pattern" yaml:"pattern"`
	Options string `bson:"options,omitempty" json:"options,omitempty" yaml:"options"`
}

// IsZero reports whether everything is selected, every document of it, under its
// own name.
func (s Selection) IsZero() bool {
	return len(s.Include)+len(s.Exclude)+len(s.Remap)+len(s.RemapCollections)+len(s.Documents) == 0
}

// Forward returns the way of namespaces from source to destination. An error
// names the field that is wrong.
func (s Selection) Forward() (Route, error) {
	if s.IsZero() {
		return Route{}, nil
	}
	r := Route{selector: &selector{
		to: map[string]string{}, from: map[string]string{},
		collTo: map[Namespace]string{}, collFrom: map[Namespace]string{}, filters: map[Namespace]bson.Raw{},
	}}
	var err error
	if r.selector.include, err = compile("includeNamespaces", s.Include); err != nil {
		return Route{}, err
	}
	if r.selector.exclude, err = compile("excludeNamespaces", s.Exclude); err != nil {
		return Route{}, err
	}
	for i, m := range s.Remap {
		if err := r.selector.remap(m); err != nil {
			return Route{}, fmt.Errorf("namespaceRemap[%d]: %w", i, err)
		}
	}
	for i, m := range s.RemapCollections {
		if err := r.selector.remapCollection(m); err != nil {
			return Route{}, fmt.Errorf("collectionRemap[%d]: %w", i, err)
		}
	}
	for i, f := range s.Documents {
		if err := r.selector.filter(f); err != nil {
			return Route{}, fmt.Errorf("documentFilters[%d]: %w", i, err)
		}
	}
	return r, nil
}

// Backward returns the way of namespaces from the destination back.
func (s Selection) Backward() (Route, error) {
	r, err := s.Forward()
	r.back = true
	return r, err
}

// A Route says where namespaces go. The zero value leads all to their own name.
type Route struct {
	selector *selector
	back     bool
}

// To returns the name of a namespace on the other side. It is not ok if the
// namespace is not synced.
func (r Route) To(ns Namespace) (to Namespace, ok bool) {
	if r.selector == nil {
		return ns, true
	}
	if r.back {
		from := named(r.selector.from, r.selector.collFrom, ns)
		return from, r.selector.takes(from) && !r.Taken(ns)
	}
	return named(r.selector.to, r.selector.collTo, ns), r.selector.takes(ns)
}

// Database returns the name of a database on the other side. It is not ok if
// none of its namespaces can be synced.
func (r Route) Database(db string) (to string, ok bool) {
	if r.selector == nil {
		return db, true
	}
	if r.back {
		from := other(r.selector.from, db)
		return from, r.selector.takesSome(from) && !r.Ambiguous(db)
	}
	return other(r.selector.to, db), r.selector.takesSome(db)
}

// A selector is a Selection ready for use. It never changes.
type selector struct {
	include, exclude []rule
	to, from         map[string]string // databases with another name on the destination, and back

	collTo, collFrom map[Namespace]string // collections with another name, by their namespace on the source, and on the destination

	filters map[Namespace]bson.Raw // of collections of which not every document is taken, by their namespace on the source
}

type rule struct {
	db    func(string) bool
	coll  func(string) bool
	whole bool // any collection
}

func (s *selector) takes(ns Namespace) bool {
	matches := func(r rule) bool { return r.db(ns.DB) && r.coll(ns.Coll) }
	return (len(s.include) == 0 || slices.ContainsFunc(s.include, matches)) && !slices.ContainsFunc(s.exclude, matches)
}

func (s *selector) takesSome(db string) bool {
	return (len(s.include) == 0 || slices.ContainsFunc(s.include, func(r rule) bool { return r.db(db) })) &&
		!slices.ContainsFunc(s.exclude, func(r rule) bool { return r.db(db) && r.whole })
}

func compile(field string, rules []NamespaceRule) ([]rule, error) {
	out := make([]rule, 0, len(rules))
	for i, r := range rules {
		c, err := r.compile()
		if err != nil {
			return nil, fmt.Errorf("%s[%d]%w", field, i, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// compile prepares a rule. Its error begins with the name of a field in it.
func (r NamespaceRule) compile() (rule, error) {
	c := rule{coll: func(string) bool { return true }, whole: true}
	switch {
	case (r.Database == "") == (r.DatabaseRegex == nil):
		return c, errors.New(": give one of database and databaseRegex")
	case len(r.Collections) > 0 && r.CollectionsRegex != nil:
		return c, errors.New(": give only one of collections and collectionsRegex")
	case r.DatabaseRegex != nil:
		re, err := r.DatabaseRegex.compile()
		if err != nil {
			return c, fmt.Errorf(".databaseRegex: %w", err)
		}
		c.db = re.MatchString
	default:
		if err := checkDatabase(r.Database); err != nil {
			return c, fmt.Errorf(".database: %w", err)
		}
		c.db = func(db string) bool { return db == r.Database }
	}
	switch {
	case len(r.Collections) > 0:
		for _, name := range r.Collections {
			if name == "" || (Namespace{Coll: name}).Internal() {
				return c, fmt.Errorf(".collections: %q is no name of a user's collection", name)
			}
		}
		c.coll, c.whole = func(coll string) bool { return slices.Contains(r.Collections, coll) }, false
	case r.CollectionsRegex != nil:
		re, err := r.CollectionsRegex.compile()
		if err != nil {
			return c, fmt.Errorf(".collectionsRegex: %w", err)
		}
		c.coll, c.whole = re.MatchString, false
	}
	return c, nil
}

func (r *Regex) compile() (*regexp.Regexp, error) {
	if r.Pattern == "" {
		return nil, errors.New("the pattern is empty")
	}
	for _, o := range r.Options {
		if !strings.ContainsRune("ims", o) {
			return nil, fmt.Errorf("option %q is not supported: want i, m or s", o)
		}
	}
	pattern := r.Pattern
	if r.Options != "" {
		pattern = "(?" + r.Options + ")" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w (look-around and back references are not supported)", err)
	}
	return re, nil
}
