package shardferry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Selection says which namespaces of the source are synced, and which of its
// databases have another name on the destination. The zero value is everything
// under its own name. It never changes while a sync exists.
//
// Its JSON form is that of mongosync's start request.
type Selection struct {
	Include []NamespaceRule `bson:"include,omitempty" json:"includeNamespaces,omitempty" yaml:"includeNamespaces"` // empty: all
	Exclude []NamespaceRule `bson:"exclude,omitempty" json:"excludeNamespaces,omitempty" yaml:"excludeNamespaces"` // wins over Include
	Remap   []DatabaseRemap `bson:"remap,omitempty" json:"namespaceRemap,omitempty" yaml:"namespaceRemap"`
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

// A DatabaseRemap gives a database of the source another name on the
// destination.
type DatabaseRemap struct {
	From DatabaseName `bson:"from" json:"from" yaml:"from"`
	To   DatabaseName `bson:"to" json:"to" yaml:"to"`
}

// A DatabaseName stands in a DatabaseRemap.
type DatabaseName struct {
	Database string `bson:"database" json:"database" yaml:"database"`
}

// IsZero reports whether everything is selected, under its own name.
func (s Selection) IsZero() bool { return len(s.Include)+len(s.Exclude)+len(s.Remap) == 0 }

// Forward returns the way of namespaces from source to destination. An error
// names the field that is wrong.
func (s Selection) Forward() (Route, error) {
	if s.IsZero() {
		return Route{}, nil
	}
	r := Route{selector: &selector{to: map[string]string{}, from: map[string]string{}}}
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
		from := Namespace{DB: other(r.selector.from, ns.DB), Coll: ns.Coll}
		return from, r.selector.takes(from) && !r.Ambiguous(ns.DB)
	}
	return Namespace{DB: other(r.selector.to, ns.DB), Coll: ns.Coll}, r.selector.takes(ns)
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

// Ambiguous reports whether a database's own name belongs to another one on the
// other side, so that it has no place there.
func (r Route) Ambiguous(db string) bool {
	if r.selector == nil {
		return false
	}
	names, taken := r.selector.to, r.selector.from
	if r.back {
		names, taken = taken, names
	}
	_, renamed := names[db]
	_, occupied := taken[db]
	return occupied && !renamed
}

func other(names map[string]string, db string) string {
	if to, ok := names[db]; ok {
		return to
	}
	return db
}

// A selector is a Selection ready for use. It never changes.
type selector struct {
	include, exclude []rule
	to, from         map[string]string // databases with another name on the destination, and back
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

func (s *selector) remap(m DatabaseRemap) error {
	from, to := m.From.Database, m.To.Database
	if err := checkDatabase(from); err != nil {
		return fmt.Errorf("from.database: %w", err)
	}
	if err := checkDatabase(to); err != nil {
		return fmt.Errorf("to.database: %w", err)
	}
	if strings.EqualFold(from, to) {
		return fmt.Errorf("to.database: %q and %q differ in nothing but case, which a server refuses", from, to)
	}
	if _, ok := s.to[from]; ok {
		return fmt.Errorf("from.database: %q has another name already", from)
	}
	if _, ok := s.from[to]; ok {
		return fmt.Errorf("to.database: %q is the name of another database already", to)
	}
	s.to[from], s.from[to] = to, from
	return nil
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

// checkDatabase refuses what is no name of a user's database on any system that
// servers run on.
func checkDatabase(name string) error {
	switch {
	case name == "":
		return errors.New("it is missing")
	case len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00"):
		return fmt.Errorf("%q is no name of a database", name)
	case (Namespace{DB: name}).Internal():
		return fmt.Errorf("%q belongs to the server and is never synced", name)
	}
	return nil
}
