package checker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func raw(t *testing.T, d bson.D) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(d)
	require.NoError(t, err)
	return b
}

// one is a cluster of one collection that holds docs.
func one(t *testing.T, docs ...bson.D) *Cluster {
	t.Helper()
	c := &Collection{Type: "collection", Options: "{}", Indexes: map[string]string{"_id_": "{key: {_id: 1}}"}, Counted: int64(len(docs))}
	for _, d := range docs {
		c.Docs = append(c.Docs, raw(t, d))
	}
	return &Cluster{Collections: map[string]*Collection{"d.c": c}, Sharded: true}
}

func TestWhateverDiffersIsFound(t *testing.T) {
	doc := bson.D{{"_id", 1}, {"a", 1}, {"b", 2}}
	for name, c := range map[string]struct {
		spoil func(c *Collection, of *Cluster)
		want  string
	}{
		"nothing":               {func(*Collection, *Cluster) {}, ""},
		"a document is missing": {func(c *Collection, _ *Cluster) { c.Docs, c.Counted = nil, 0 }, "lacks"},
		"one more":              {func(c *Collection, _ *Cluster) { c.Docs, c.Counted = append(c.Docs, c.Docs[0]), 2 }, "only on the destination"},
		"the order of fields":   {func(c *Collection, _ *Cluster) { c.Docs[0] = raw(t, bson.D{{"_id", 1}, {"b", 2}, {"a", 1}}) }, "on the source"},
		"the type of a number":  {func(c *Collection, _ *Cluster) { c.Docs[0] = raw(t, bson.D{{"_id", 1}, {"a", 1.0}, {"b", 2}}) }, "on the source"},
		"the type of an _id":    {func(c *Collection, _ *Cluster) { c.Docs[0] = raw(t, bson.D{{"_id", 1.0}, {"a", 1}, {"b", 2}}) }, "lacks"},
		"the server's count":    {func(c *Collection, _ *Cluster) { c.Counted = 2 }, "counts 2"},
		"an option":             {func(c *Collection, _ *Cluster) { c.Options = "{capped: true}" }, "options"},
		"an index":              {func(c *Collection, _ *Cluster) { c.Indexes["x"] = "{key: {x: 1}}" }, "index"},
		"how an index is":       {func(c *Collection, _ *Cluster) { c.Indexes["_id_"] = "{key: {_id: -1}}" }, "index"},
		"a missing index":       {func(c *Collection, _ *Cluster) { delete(c.Indexes, "_id_") }, "lacks the index"},
		"the shard key":         {func(c *Collection, _ *Cluster) { c.ShardKey = "{k: 1}" }, "shard key"},
		"a view instead":        {func(c *Collection, _ *Cluster) { c.Type = "view" }, "a view on the destination"},
		"no collection":         {func(_ *Collection, of *Cluster) { delete(of.Collections, "d.c") }, "missing on the destination"},
		"another collection":    {func(c *Collection, of *Cluster) { of.Collections["d.d"] = c }, "d.d is only on the destination"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := one(t, doc), one(t, doc)
			c.spoil(b.Collections["d.c"], b)
			diffs := Compare(a, b)
			if c.want == "" {
				assert.Empty(t, diffs)
				return
			}
			require.NotEmpty(t, diffs)
			assert.Contains(t, diffs[0], c.want)
		})
	}
}

func TestTheOrderOfACappedCollectionCounts(t *testing.T) {
	x, y := bson.D{{"_id", 1}}, bson.D{{"_id", 2}}
	a, b := one(t, x, y), one(t, y, x)
	assert.Empty(t, Compare(a, b))
	a.Collections["d.c"].Capped, b.Collections["d.c"].Capped = true, true
	assert.Len(t, Compare(a, b), 1)
}

func TestDescriptionsHaveOneForm(t *testing.T) {
	same := [][2]bson.D{
		{{{"capped", true}, {"size", 4096}}, {{"size", 4096.0}, {"capped", true}}},
		{{{"size", int64(1)}, {"storageEngine", bson.D{{"wiredTiger", bson.D{}}}}}, {{"size", int32(1)}}},
	}
	for _, s := range same {
		assert.Equal(t, canonicalOptions(raw(t, s[0])), canonicalOptions(raw(t, s[1])))
	}
	assert.Equal(t, canonicalIndex(raw(t, bson.D{{"v", 2}, {"key", bson.D{{"a", 1}}}, {"unique", false}, {"background", true}, {"ns", "d.c"}})),
		canonicalIndex(raw(t, bson.D{{"key", bson.D{{"a", 1.0}}}, {"v", 2}})))
	assert.NotEqual(t, canonicalIndex(raw(t, bson.D{{"key", bson.D{{"a", 1}, {"b", 1}}}})), canonicalIndex(raw(t, bson.D{{"key", bson.D{{"b", 1}, {"a", 1}}}})))
	assert.NotEqual(t, canonicalIndex(raw(t, bson.D{{"key", bson.D{{"a", -1e-9}}}})), canonicalIndex(raw(t, bson.D{{"key", bson.D{{"a", 1}}}})))
}

func TestUsersAreExpectedBesideThoseThatAreThere(t *testing.T) {
	account := func(roles ...any) string {
		return account(raw(t, bson.D{{"_id", "d.x"}, {"roles", append(bson.A{}, roles...)}}))
	}
	source, before := one(t), one(t)
	source.Accounts = map[string]string{"own": "source", "alice": account("a", "b")}
	before.Accounts = map[string]string{"own": "destination", "keeper": account()}
	want := source.With(before, []string{"own"})
	there := one(t)
	for name, c := range map[string]struct {
		there map[string]string
		want  string
	}{
		"all":          {map[string]string{"own": "destination", "keeper": account(), "alice": account("b", "a")}, ""},
		"one left out": {map[string]string{"own": "destination", "keeper": account()}, "alice is missing"},
		"another form": {map[string]string{"own": "destination", "keeper": account(), "alice": account("a")}, "alice has another form"},
		"overwritten":  {map[string]string{"own": "source", "keeper": account(), "alice": account("b", "a")}, "own has another form"},
		"one more":     {map[string]string{"own": "destination", "keeper": account(), "alice": account("a", "b"), "bob": account()}, "bob is only"},
	} {
		t.Run(name, func(t *testing.T) {
			there.Accounts = c.there
			diffs := Compare(want, there)
			if c.want == "" {
				assert.Empty(t, diffs)
				return
			}
			require.Len(t, diffs, 1)
			assert.Contains(t, diffs[0], c.want)
		})
	}
}
