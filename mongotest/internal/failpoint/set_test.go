package failpoint_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func configure(s *failpoint.Set, name string, mode any, data bson.Raw) (*command.Response, error) {
	body := value.D("configureFailPoint", name, "mode", mode)
	if data != nil {
		body = value.D("configureFailPoint", name, "mode", mode, "data", data)
	}
	return s.Configure(&command.Request{Name: "configureFailPoint", DB: "admin", Body: body})
}

// request is a find on db.coll of the client "app".
func request() *command.Request {
	return &command.Request{
		Name: "find", DB: "db", Body: value.D("find", "coll"), Client: &command.Client{ID: 7, AppName: "app"},
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
		"all commands":       {value.D("failAllCommands", true, "errorCode", 1), true, false},
		"the thread":         {value.D("failCommands", []string{"find"}, "errorCode", 1, "threadName", "conn7"), true, false},
		"another thread":     {value.D("failCommands", []string{"find"}, "errorCode", 1, "threadName", "conn8"), false, false},
		"a code of no type":  {value.D("failCommands", []string{"find"}, "errorCode", "1"), false, false},
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
		"times of a string":  {"failCommand", bson.D{{"times", "1"}}, mongoerr.TypeMismatch},
		"too many times":     {"failCommand", bson.D{{"times", int64(1) << 31}}, mongoerr.BadValue},
		"negative skip":      {"failCommand", bson.D{{"skip", -1}}, mongoerr.BadValue},
		"odds above one":     {"failCommand", bson.D{{"activationProbability", 1.1}}, mongoerr.BadValue},
		"odds of a string":   {"failCommand", bson.D{{"activationProbability", "1"}}, mongoerr.TypeMismatch},
	} {
		_, err := configure(s, c.point, c.mode, data)
		assert.True(t, mongoerr.Is(err, c.code), "%s: %v", name, err)
	}
	for code, body := range map[mongoerr.Code]bson.Raw{
		mongoerr.IllegalOperation: value.D("configureFailPoint", "failCommand"),
		mongoerr.TypeMismatch:     value.D("configureFailPoint", "failCommand", "mode", "off", "data", 1),
	} {
		_, err := s.Configure(&command.Request{Name: "configureFailPoint", DB: "admin", Body: body})
		assert.True(t, mongoerr.Is(err, code), "%v", err)
	}
	_, err = s.Configure(&command.Request{Name: "configureFailPoint", DB: "db", Body: value.D("configureFailPoint", "failCommand", "mode", "off")})
	assert.True(t, mongoerr.Is(err, mongoerr.Unauthorized), "%v", err)
}

func TestAProbabilityIsAProbability(t *testing.T) {
	for odds, between := range map[float64][2]int{0: {0, 0}, 0.5: {300, 700}, 1: {1000, 1000}} {
		s := failpoint.NewSet()
		_, err := configure(s, "failCommand", bson.D{{"activationProbability", odds}}, value.D("failCommands", []string{"find"}, "errorCode", 1))
		require.NoError(t, err)
		fired := 0
		for range 1000 {
			if _, ok := s.TakeBefore(request()); ok {
				fired++
			}
		}
		assert.GreaterOrEqual(t, fired, between[0])
		assert.LessOrEqual(t, fired, between[1])
	}
}

func TestACommandIsKnownByAllItsNames(t *testing.T) {
	for sent, fired := range map[string]map[string]bool{
		"findAndModify": {"findandmodify": true, "find": false},
		"findandmodify": {"findAndModify": true},
		"isMaster":      {"ismaster": true, "hello": false},
		"hello":         {"isMaster": false},
	} {
		for named, want := range fired {
			s := failpoint.NewSet()
			_, err := configure(s, "failCommand", "alwaysOn", value.D("failCommands", []string{named}, "errorCode", 1))
			require.NoError(t, err)
			_, ok := s.TakeBefore(&command.Request{Name: sent, DB: "db", Body: value.D(sent, "c"), Client: &command.Client{}})
			assert.Equal(t, want, ok, "%s by %s", sent, named)
		}
	}
}

func TestCommandsOfRoutersAreSparedUnlessItIsSaid(t *testing.T) {
	for _, internal := range []bool{false, true} {
		s := failpoint.NewSet()
		_, err := configure(s, "failCommand", "alwaysOn", value.D("failCommands", []string{"find"}, "errorCode", 1, "failInternalCommands", internal))
		require.NoError(t, err)
		req := request()
		req.Routed = &command.Routed{}
		_, ok := s.TakeBefore(req)
		assert.Equal(t, internal, ok)
	}
}

func TestABlockNeedsATime(t *testing.T) {
	for _, data := range []bson.Raw{value.D("blockConnection", true), value.D("blockConnection", true, "blockTimeMS", -1)} {
		s := failpoint.NewSet()
		_, err := configure(s, "failCommand", "alwaysOn", value.D("failAllCommands", true, "blockConnection", true, "blockTimeMS", data.Lookup("blockTimeMS")))
		require.NoError(t, err)
		d, ok := s.TakeBefore(request())
		require.True(t, ok)
		assert.Equal(t, mongoerr.InvalidOptions, d.Err().Code)
	}
}

func TestWaitForFailPointWaitsUntilItHasFiredThatOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failpoint.NewSet()
		_, err := configure(s, "failCommand", "alwaysOn", value.D("failCommands", []string{"find"}, "errorCode", 1))
		require.NoError(t, err)
		wait := func(name string, times any) error {
			_, err := s.Wait(t.Context(), &command.Request{Name: "waitForFailPoint", DB: "admin", Body: value.D("waitForFailPoint", name, "timesEntered", times)})
			return err
		}
		done := make(chan error, 1)
		go func() { done <- wait("failCommand", 2) }()
		s.TakeBefore(request())
		synctest.Wait()
		assert.Empty(t, done)
		s.TakeBefore(request())
		require.NoError(t, <-done)
		assert.True(t, mongoerr.Is(wait("failNothing", 1), mongoerr.FailPointSetFailed))
		assert.True(t, mongoerr.Is(wait("failCommand", "2"), mongoerr.IDLFailedToParse))
	})
}

func TestTheLimitOfTimeCanBeSaidToBeOver(t *testing.T) {
	s := failpoint.NewSet()
	_, err := configure(s, "maxTimeAlwaysTimeOut", bson.D{{"times", 1}}, nil)
	require.NoError(t, err)
	require.NoError(t, s.CheckTimeLimit(request()))
	limited := request()
	limited.Body = value.D("find", "coll", "maxTimeMS", 1000)
	assert.True(t, mongoerr.Is(s.CheckTimeLimit(limited), mongoerr.MaxTimeMSExpired))
	require.NoError(t, s.CheckTimeLimit(limited))
}
