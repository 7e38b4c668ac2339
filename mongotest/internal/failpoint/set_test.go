package failpoint_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func configure(s *failpoint.Set, name string, mode any, data bson.Raw) (*command.Response, error) {
	body := value.D("configureFailPoint", name, "mode", mode, "data", data)
	return s.Configure(&command.Request{Name: "configureFailPoint", DB: "admin", Body: body})
}

// request is a find on db.coll of the client "app".
func request() *command.Request {
	return &command.Request{
		Name: "find", DB: "db", Body: value.D("find", "coll"), Client: &command.Client{AppName: "app"},
	}
}

func TestModesSayHowOftenAFailPointFires(t *testing.T) {
	for name, c := range map[string]struct {
		mode any
		want []bool
	}{
		"off":      {"off", []bool{false, false, false}},
		"alwaysOn": {"alwaysOn", []bool{true, true, true}},
		"times":    {bson.D{{"times", 2}}, []bool{true, true, false}},
		"skip":     {bson.D{{"skip", 2}}, []bool{false, false, true}},
		"no times": {bson.D{{"times", 0}}, []bool{false, false, false}},
	} {
		s := failpoint.NewSet()
		_, err := configure(s, "failCommand", c.mode, value.D("failCommands", []string{"find"}, "errorCode", 91))
		require.NoError(t, err, name)
		var got []bool
		for range c.want {
			_, ok := s.TakeBefore(request())
			got = append(got, ok)
		}
		assert.Equal(t, c.want, got, name)
	}
}

func TestDataChooseTheCommands(t *testing.T) {
	for name, c := range map[string]struct {
		data            bson.Raw
		before, concern bool
	}{
		"the command":        {value.D("failCommands", []string{"find"}, "errorCode", 1), true, false},
		"another command":    {value.D("failCommands", []string{"insert"}, "errorCode", 1), false, false},
		"the application":    {value.D("failCommands", []string{"find"}, "closeConnection", true, "appName", "app"), true, false},
		"another one":        {value.D("failCommands", []string{"find"}, "closeConnection", true, "appName", "b"), false, false},
		"the namespace":      {value.D("failCommands", []string{"find"}, "blockConnection", true, "namespace", "db.coll"), true, false},
		"another namespace":  {value.D("failCommands", []string{"find"}, "blockConnection", true, "namespace", "db.c"), false, false},
		"nothing to do":      {value.D("failCommands", []string{"find"}), false, false},
		"the write concern":  {value.D("failCommands", []string{"find"}, "writeConcernError", value.D("code", 91)), false, true},
		"closing is not set": {value.D("failCommands", []string{"find"}, "closeConnection", false), false, false},
	} {
		s := failpoint.NewSet()
		_, err := configure(s, "failCommand", "alwaysOn", c.data)
		require.NoError(t, err, name)
		_, before := s.TakeBefore(request())
		_, concern := s.TakeConcern(request())
		assert.Equal(t, c.before, before, name)
		assert.Equal(t, c.concern, concern, name)
	}
}

func TestErrorsOfFailPoints(t *testing.T) {
	s := failpoint.NewSet()
	_, err := configure(s, "failCommand", "alwaysOn", value.D("failCommands", []string{"find"}, "errorCode", 13388, "errorExtraInfo", value.D("ns", "a.b")))
	require.NoError(t, err)
	d, _ := s.TakeBefore(request())
	assert.Equal(t, mongoerr.StaleConfig, d.Err().Code)
	assert.Equal(t, bson.D{{"ns", value.String("a.b")}}, d.Err().Info)

	_, err = configure(s, "failGetMoreAfterCursorCheckout", bson.D{{"times", 1}}, value.D("errorCode", 6))
	require.NoError(t, err)
	assert.True(t, mongoerr.Is(s.CheckGetMore(request()), mongoerr.HostUnreachable))
	require.NoError(t, s.CheckGetMore(request()))

	_, err = configure(s, "onPrimaryTransactionalWrite", bson.D{{"times", 1}}, value.D("failBeforeCommitExceptionCode", 1))
	require.NoError(t, err)
	hangUp, undo := s.TakeWrite()
	assert.True(t, hangUp, "it closes the connection unless told otherwise")
	assert.True(t, mongoerr.Is(undo, mongoerr.InternalError))
}

func TestConfigureAnswers(t *testing.T) {
	s := failpoint.NewSet()
	data := value.D("failCommands", []string{"find"}, "errorCode", 1)
	_, err := configure(s, "failCommand", "alwaysOn", data)
	require.NoError(t, err)
	s.TakeBefore(request())
	resp, err := configure(s, "failCommand", "off", data)
	require.NoError(t, err)
	assert.Equal(t, value.D("count", int64(1)), resp.Body, "how often it has fired so far")

	for name, c := range map[string]struct {
		point string
		mode  any
		code  mongoerr.Code
	}{
		"unknown fail point": {"failNothing", "off", mongoerr.FailPointSetFailed},
		"unknown mode":       {"failCommand", "sometimes", mongoerr.BadValue},
		"mode of a number":   {"failCommand", 1, mongoerr.TypeMismatch},
		"negative times":     {"failCommand", bson.D{{"times", -1}}, mongoerr.BadValue},
		"unknown option":     {"failCommand", bson.D{{"often", 1}}, mongoerr.BadValue},
	} {
		_, err := configure(s, c.point, c.mode, data)
		assert.True(t, mongoerr.Is(err, c.code), "%s: %v", name, err)
	}
}
