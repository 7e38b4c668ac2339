package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A part of a cluster moves under another name, and what was chosen cannot be
// changed later.
func TestAPartMovesUnderAnotherName(t *testing.T) {
	t.Parallel()
	m := newMove(t, 300)
	for _, ns := range [][2]string{{"wanted", "kept"}, {"wanted", "left"}, {"other", "left"}} {
		_, err := m.src.client.Database(ns[0]).Collection(ns[1]).InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
	}
	config := filepath.Join(t.TempDir(), "part.yaml")
	require.NoError(t, os.WriteFile(config, []byte("includeNamespaces: [{database: wanted}]\nexcludeNamespaces: [{database: wanted, collectionsRegex: {pattern: ^l}}]\n"), 0o600))
	p := m.sync(t, "--config", config, "--rename-database", "wanted=found", "--rename-collection", "wanted.kept=found.stays", "--commit", "--stay")
	p.await("committed")
	names, err := m.dst.client.ListDatabaseNames(t.Context(), bson.D{{"name", bson.D{{"$nin", bson.A{"admin", "config", "local"}}}}})
	require.NoError(t, err)
	assert.Equal(t, []string{"found"}, names)
	colls, err := m.dst.client.Database("found").ListCollectionNames(t.Context(), bson.D{})
	require.NoError(t, err)
	assert.Equal(t, []string{"stays"}, colls)
	p.terminate()

	p = m.sync(t, "--include", "wanted")
	refused(t, p, exitFailed, "another choice of namespaces", "nothing was changed")
	p = m.sync(t)
	p.await("resumed")
	p.terminate()
}

// Some documents of a collection move, chosen by a query with a comma in it. What was
// chosen cannot be changed later.
func TestSomeDocumentsMove(t *testing.T) {
	t.Parallel()
	m := newMove(t, 10)
	for i, region := range []string{"eu", "us", "eu"} {
		_, err := m.src.client.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", i}, {"region", region}, {"n", i}})
		require.NoError(t, err)
	}
	chosen := `d.c={"region":"eu","n":{"$gt":1}}`
	p := m.sync(t, "--document-filter", chosen, "--commit")
	p.await("committed")
	assert.Zero(t, p.wait())
	n, err := m.dst.client.Database("d").Collection("c").CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)

	p = m.sync(t, "--document-filter", `d.c={"region":"us"}`)
	refused(t, p, exitFailed, "another choice of namespaces or documents", "nothing was changed")
	p = m.sync(t, "--document-filter", chosen)
	p.await("resumed")
	p.terminate()
}

// A sync that began without users does not go on as if it brought them.
func TestUsersAreChosenAtTheStart(t *testing.T) {
	require.ErrorContains(t, sameUsers(true, false), "--with-users")
	for _, started := range []bool{true, false} {
		require.NoError(t, sameUsers(false, started))
	}
	require.NoError(t, sameUsers(true, true))
}
