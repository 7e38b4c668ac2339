package accounts

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

func raw(t *testing.T, d bson.D) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(d)
	require.NoError(t, err)
	return b
}

func role(name string) bson.D { return bson.D{{"role", name}, {"db", "d"}} }

// Two accounts are the same if they mean the same.
func TestTheOrderOfRolesAndFieldsMeansNothing(t *testing.T) {
	on := func(coll string, actions ...string) bson.D {
		return bson.D{{"resource", bson.D{{"db", "d"}, {"collection", coll}}}, {"actions", actions}}
	}
	base := bson.D{{"_id", "d.u"}, {"roles", bson.A{role("a"), role("b")}}, {"privileges", bson.A{on("c", "find", "insert"), on("e", "find")}}}
	for name, tt := range map[string]struct {
		other bson.D
		same  bool
	}{
		"the same":        {base, true},
		"order of fields": {bson.D{base[2], base[0], base[1]}, true},
		"order of roles":  {bson.D{base[0], {"roles", bson.A{role("b"), role("a")}}, base[2]}, true},
		"order of privileges and actions": {
			bson.D{base[0], base[1], {"privileges", bson.A{on("e", "find"), on("c", "insert", "find")}}}, true,
		},
		"another role":      {bson.D{base[0], {"roles", bson.A{role("a"), role("c")}}, base[2]}, false},
		"a role twice":      {bson.D{base[0], {"roles", bson.A{role("a"), role("b"), role("b")}}, base[2]}, false},
		"a role less":       {bson.D{base[0], {"roles", bson.A{role("a")}}, base[2]}, false},
		"an action less":    {bson.D{base[0], base[1], {"privileges", bson.A{on("c", "find"), on("e", "find")}}}, false},
		"a field more":      {append(bson.D{{"customData", bson.D{}}}, base...), false},
		"another kind of 1": {append(bson.D{{"n", int64(1)}}, base...), false},
	} {
		t.Run(name, func(t *testing.T) {
			same, err := equal(raw(t, base), raw(t, tt.other))
			require.NoError(t, err)
			assert.Equal(t, tt.same, same)
		})
	}
	_, err := equal(raw(t, base), bson.Raw{9, 0, 0, 0, 2, 'a', 0, 9, 0})
	require.ErrorIs(t, err, errMalformed)
}

// Only what is there by our doing is changed or goes.
func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	set := func(ids map[string]int) Set {
		s := Set{docs: map[shardferry.Account]bson.Raw{}}
		for id, version := range ids {
			s.docs[shardferry.Account{ID: id}] = raw(t, bson.D{{"_id", id}, {"v", version}})
		}
		return s
	}
	named := func(ids ...string) (all []shardferry.Account) {
		for _, id := range ids {
			all = append(all, shardferry.Account{ID: id})
		}
		return all
	}
	from := set(map[string]int{"same": 1, "ours": 2, "theirs": 2, "new": 1})
	to := set(map[string]int{"same": 1, "ours": 1, "theirs": 1, "own": 1, "gone": 1})
	d, err := Compare(from, to, named("same", "ours", "gone", "lost"))
	require.NoError(t, err)
	assert.Equal(t, Difference{Missing: named("new"), Changed: named("ours"), Gone: named("gone"), Conflicts: named("theirs")}, d)
	assert.False(t, d.Equal())
	d, err = Compare(from, from, nil)
	require.NoError(t, err)
	assert.True(t, d.Equal())
}

// Nothing that is printed repeats what a user's document holds.
func TestCredentialsAreNotPrinted(t *testing.T) {
	s := Set{docs: map[shardferry.Account]bson.Raw{{ID: "d.u"}: raw(t, bson.D{{"storedKey", "secret"}})}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "1 users and roles", fmt.Sprintf(format, s))
	}
	for _, said := range []error{
		mongo.CommandError{Code: 13, Name: "Unauthorized", Message: "secret", Raw: raw(t, bson.D{{"errmsg", "secret"}})},
		mongo.CommandError{Code: 91, Message: "secret", Labels: []string{"RetryableWriteError"}},
		mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 11000, Message: "secret"}}},
		mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: mongo.WriteError{Code: 121, Message: "secret"}}}},
		mongo.CommandError{Message: "secret"},
		errors.New("write command error: secret"),
	} {
		err := quiet(said)
		require.Error(t, err)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "secret")
		require.NoError(t, errors.Unwrap(err), "the server's own words can be had")
		if class := mongoconn.Classify(said); class == mongoconn.Transient {
			assert.Equal(t, class, mongoconn.Classify(err))
		}
	}
	assert.True(t, mongoconn.IsCode(quiet(mongo.CommandError{Code: 13}), mongoconn.CodeUnauthorized))
	network := mongo.CommandError{Message: "connection closed", Labels: []string{"NetworkError"}}
	assert.True(t, mongoconn.IsNetwork(quiet(network)))
}
