package shardferry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry"
)

func ns(s string) shardferry.Namespace {
	db, coll, _ := strings.Cut(s, ".")
	return shardferry.Namespace{DB: db, Coll: coll}
}

func remap(from, to string) shardferry.DatabaseRemap {
	return shardferry.DatabaseRemap{From: shardferry.DatabaseName{Database: from}, To: shardferry.DatabaseName{Database: to}}
}

func remapColl(from, to string) shardferry.CollectionRemap {
	f, t := ns(from), ns(to)
	return shardferry.CollectionRemap{
		From: shardferry.CollectionName{Database: f.DB, Collection: f.Coll}, To: shardferry.CollectionName{Database: t.DB, Collection: t.Coll},
	}
}

func TestASelectionTakesWhatItNames(t *testing.T) {
	type rules = []shardferry.NamespaceRule
	for name, tt := range map[string]struct {
		selection shardferry.Selection
		taken     string
		left      string
	}{
		"everything":            {shardferry.Selection{}, "shop.orders crm.people", ""},
		"a database":            {shardferry.Selection{Include: rules{{Database: "shop"}}}, "shop.orders shop.x", "shops.x crm.people"},
		"collections of one":    {shardferry.Selection{Include: rules{{Database: "shop", Collections: []string{"orders", "items"}}}}, "shop.orders shop.items", "shop.order crm.orders"},
		"by expressions":        {shardferry.Selection{Include: rules{{DatabaseRegex: &shardferry.Regex{Pattern: "^S", Options: "i"}, CollectionsRegex: &shardferry.Regex{Pattern: "s$"}}}}, "shop.orders Sales.items", "shop.log crm.people"},
		"all but one":           {shardferry.Selection{Exclude: rules{{Database: "logs"}}}, "shop.orders", "logs.x"},
		"exclusion wins":        {shardferry.Selection{Include: rules{{Database: "shop"}}, Exclude: rules{{Database: "shop", Collections: []string{"tmp"}}}}, "shop.orders", "shop.tmp crm.people"},
		"several inclusions":    {shardferry.Selection{Include: rules{{Database: "shop"}, {Database: "crm", Collections: []string{"people"}}}}, "shop.x crm.people", "crm.x"},
		"names with more dots":  {shardferry.Selection{Include: rules{{Database: "shop", Collections: []string{"a.b"}}}}, "shop.a.b", "shop.a shop.b"},
		"renaming is no filter": {shardferry.Selection{Remap: []shardferry.DatabaseRemap{remap("shop", "store")}}, "shop.x crm.y", ""},
	} {
		r, err := tt.selection.Forward()
		require.NoError(t, err, name)
		for want, list := range map[bool]string{true: tt.taken, false: tt.left} {
			for _, s := range strings.Fields(list) {
				_, ok := r.To(ns(s))
				assert.Equal(t, want, ok, "%s: %s", name, s)
			}
		}
	}
}

func TestADatabaseIsTakenIfSomethingOfItCanBe(t *testing.T) {
	r, err := shardferry.Selection{
		Include: []shardferry.NamespaceRule{{Database: "shop", Collections: []string{"x"}}, {Database: "logs"}},
		Exclude: []shardferry.NamespaceRule{{Database: "logs"}},
	}.Forward()
	require.NoError(t, err)
	for db, want := range map[string]bool{"shop": true, "logs": false, "crm": false} {
		_, ok := r.Database(db)
		assert.Equal(t, want, ok, db)
	}
}

func TestDatabasesGoUnderOtherNamesAndComeBack(t *testing.T) {
	s := shardferry.Selection{Remap: []shardferry.DatabaseRemap{remap("a", "b"), remap("b", "c")}}
	there, err := s.Forward()
	require.NoError(t, err)
	back, err := s.Backward()
	require.NoError(t, err)
	for from, want := range map[string]string{"a.x": "b.x", "b.x": "c.x", "d.x": "d.x"} {
		to, ok := there.To(ns(from))
		assert.True(t, ok)
		assert.Equal(t, want, to.String())
		home, ok := back.To(to)
		assert.True(t, ok)
		assert.Equal(t, from, home.String())
	}
	assert.True(t, there.Ambiguous("c"), "b has its name on the destination")
	assert.False(t, there.Ambiguous("b"))
	assert.True(t, back.Ambiguous("a"), "it would come home as a, which b is")
	_, ok := back.To(ns("a.x"))
	assert.False(t, ok)
}

func TestCollectionsGoUnderOtherNamesAndComeBack(t *testing.T) {
	s := shardferry.Selection{
		Remap:            []shardferry.DatabaseRemap{remap("a", "b")},
		RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "b.y"), remapColl("a.y", "b.z"), remapColl("c.x.y", "c.x")},
	}
	there, err := s.Forward()
	require.NoError(t, err)
	back, err := s.Backward()
	require.NoError(t, err)
	for from, want := range map[string]string{"a.x": "b.y", "a.y": "b.z", "a.w": "b.w", "c.x.y": "c.x", "c.y": "c.y"} {
		to, ok := there.To(ns(from))
		assert.True(t, ok)
		assert.Equal(t, want, to.String())
		assert.False(t, there.Taken(ns(from)), from)
		assert.Equal(t, ns(from).Coll == to.Coll, there.Keeps(ns(from)), from)
		home, ok := back.To(to)
		assert.True(t, ok)
		assert.Equal(t, from, home.String())
	}
	for _, taken := range []string{"a.z", "c.x", "b.w"} {
		assert.True(t, there.Taken(ns(taken)), taken)
		assert.False(t, there.Keeps(ns(taken)), taken)
	}
	for _, taken := range []string{"b.x", "c.x.y", "a.w"} {
		assert.True(t, back.Taken(ns(taken)), taken)
		_, ok := back.To(ns(taken))
		assert.False(t, ok, taken)
	}
}

// Where a namespace goes, it comes back from; and no two go to the same place
// unless one of them has no place there.
func TestRoutesAreOneToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dbs := []string{"a", "b", "c", "d"}
		var s shardferry.Selection
		for range rapid.IntRange(0, 3).Draw(t, "remaps") {
			s.Remap = append(s.Remap, remap(rapid.SampledFrom(dbs).Draw(t, "from"), rapid.SampledFrom(dbs).Draw(t, "to")))
		}
		if rapid.Bool().Draw(t, "exclude") {
			s.Exclude = []shardferry.NamespaceRule{{Database: rapid.SampledFrom(dbs).Draw(t, "excluded")}}
		}
		there, err := s.Forward()
		if err != nil {
			return
		}
		colls := []string{"x", "y", "z"}
		for range rapid.IntRange(0, 4).Draw(t, "collections") {
			from := ns(rapid.SampledFrom(dbs).Draw(t, "in") + "." + rapid.SampledFrom(colls).Draw(t, "from"))
			to, _ := there.To(shardferry.Namespace{DB: from.DB, Coll: rapid.SampledFrom(colls).Draw(t, "to")})
			s.RemapCollections = append(s.RemapCollections, remapColl(from.String(), to.String()))
		}
		if there, err = s.Forward(); err != nil {
			return
		}
		back, err := s.Backward()
		require.NoError(t, err)
		seen := map[shardferry.Namespace]bool{}
		for _, db := range dbs {
			for _, coll := range colls {
				from := shardferry.Namespace{DB: db, Coll: coll}
				to, ok := there.To(from)
				if !ok || there.Taken(from) {
					continue
				}
				assert.False(t, seen[to], "two go to %s", to)
				seen[to] = true
				home, ok := back.To(to)
				assert.True(t, ok && home == from, "%s goes to %s and comes back to %s (%v)", from, to, home, ok)
			}
		}
	})
}

func TestWrongSelectionsNameTheField(t *testing.T) {
	type rules = []shardferry.NamespaceRule
	for want, s := range map[string]shardferry.Selection{
		"includeNamespaces[0]: give one of":                      {Include: rules{{}}},
		"includeNamespaces[0]: give one of database and":         {Include: rules{{Database: "a", DatabaseRegex: &shardferry.Regex{Pattern: "a"}}}},
		"includeNamespaces[1].database: \"admin\"":               {Include: rules{{Database: "a"}, {Database: "admin"}}},
		"excludeNamespaces[0].database: \"a.b\"":                 {Exclude: rules{{Database: "a.b"}}},
		"excludeNamespaces[0]: give only one of":                 {Exclude: rules{{Database: "a", Collections: []string{"x"}, CollectionsRegex: &shardferry.Regex{Pattern: "x"}}}},
		"includeNamespaces[0].collections: \"system.x\"":         {Include: rules{{Database: "a", Collections: []string{"system.x"}}}},
		"includeNamespaces[0].databaseRegex: error parsing":      {Include: rules{{DatabaseRegex: &shardferry.Regex{Pattern: "("}}}},
		"includeNamespaces[0].databaseRegex: the pattern":        {Include: rules{{DatabaseRegex: &shardferry.Regex{}}}},
		"includeNamespaces[0].collectionsRegex: option 'x'":      {Include: rules{{Database: "a", CollectionsRegex: &shardferry.Regex{Pattern: "a", Options: "x"}}}},
		"namespaceRemap[0]: to.database: it is missing":          {Remap: []shardferry.DatabaseRemap{remap("a", "")}},
		"namespaceRemap[0]: to.database: \"a\" and \"A\"":        {Remap: []shardferry.DatabaseRemap{remap("a", "A")}},
		"namespaceRemap[1]: from.database: \"a\" has":            {Remap: []shardferry.DatabaseRemap{remap("a", "b"), remap("a", "c")}},
		"namespaceRemap[1]: to.database: \"b\" is the name":      {Remap: []shardferry.DatabaseRemap{remap("a", "b"), remap("c", "b")}},
		"namespaceRemap[0]: to.database: \"config\" belongs":     {Remap: []shardferry.DatabaseRemap{remap("a", "config")}},
		"namespaceRemap[0]: from.database: \"local\" belongs to": {Remap: []shardferry.DatabaseRemap{remap("local", "x")}},

		"collectionRemap[0]: from.database: it is missing":        {RemapCollections: []shardferry.CollectionRemap{remapColl(".x", "a.y")}},
		"collectionRemap[0]: to.collection: it is missing":        {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.")}},
		"collectionRemap[0]: to.collection: \"y$\"":               {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.y$")}},
		"collectionRemap[0]: to.collection: \".y\"":               {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a..y")}},
		"collectionRemap[0]: to.collection: \"x\" is its name":    {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.x")}},
		"collectionRemap[0]: from.collection: \"system.js\" bel":  {RemapCollections: []shardferry.CollectionRemap{remapColl("a.system.js", "a.x")}},
		"collectionRemap[0]: to.database: \"b\" is not where a.x": {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "b.y")}},
		"which is \"b\" on the destination":                       {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.y")}, Remap: []shardferry.DatabaseRemap{remap("a", "b")}},
		"collectionRemap[0]: from: a.x is not selected":           {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.y")}, Include: rules{{Database: "b"}}},
		"collectionRemap[1]: from: a.x has another name already":  {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.y"), remapColl("a.x", "a.z")}},
		"collectionRemap[1]: to: a.y is the name of another":      {RemapCollections: []shardferry.CollectionRemap{remapColl("a.x", "a.y"), remapColl("a.z", "a.y")}},
	} {
		_, err := s.Forward()
		assert.ErrorContains(t, err, want)
	}
}
