package mongos

import (
	"errors"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// stateChanges holds the codes of the server's NotPrimaryError and
// ShutdownError categories. From a mongos they would tell a driver that the
// mongos itself is gone, and it would use it no more until its next heartbeat.
var stateChanges = []mongoerr.Code{
	mongoerr.NotWritablePrimary, mongoerr.NotPrimaryNoSecondaryOk, mongoerr.NotPrimaryOrSecondary,
	mongoerr.PrimarySteppedDown, mongoerr.InterruptedDueToReplStateChange,
	mongoerr.ShutdownInProgress, mongoerr.InterruptedAtShutdown,
}

// Older drivers go by these phrases of the message.
var statePhrases = strings.NewReplacer("not master", "(NOT_PRIMARY)", "node is recovering", "(NODE_IS_RECOVERING)")

// cloak makes a shard's change of state an error that may be retried and says
// nothing of the mongos (src/mongo/rpc/rewrite_state_change_errors.cpp).
func cloak(err error) error {
	var e *mongoerr.Error
	if !errors.As(err, &e) || !slices.Contains(stateChanges, e.Code) {
		return err
	}
	c := *e
	c.Code, c.Message = mongoerr.HostUnreachable, statePhrases.Replace(e.Message)
	return &c
}

// cloakReply does so for the errors inside a reply that is ok.
func cloakReply(body bson.Raw) bson.Raw {
	var fields []bson.E
	if errs := getDocs(body, "writeErrors"); slices.ContainsFunc(errs, tellsOfState) {
		cloaked := make(bson.A, len(errs))
		for i, e := range errs {
			cloaked[i] = cloakNode(e)
		}
		fields = append(fields, bson.E{Key: "writeErrors", Value: cloaked})
	}
	if e := getDoc(body, "writeConcernError"); tellsOfState(e) {
		fields = append(fields, bson.E{Key: "writeConcernError", Value: cloakNode(e)})
	}
	if len(fields) == 0 {
		return body
	}
	return set(body, fields...)
}

// tellConcern are the commands whose replies, with a writeConcernError in them,
// are joined to the client's.
var tellConcern = []string{
	"insert", "update", "delete", "findAndModify", "findandmodify", "bulkWrite", "aggregate", "commitTransaction", "abortTransaction",
}

// mayBeLost is the error of a command that a shard has carried out, but whose
// primary stepped down before a majority had it: another primary may not have it,
// and what the router does next must not build on it.
func mayBeLost(name string, resp *command.Response) error {
	e := getDoc(resp.Body, "writeConcernError")
	if slices.Contains(tellConcern, name) || !tellsOfState(e) {
		return nil
	}
	return mongoerr.New(mongoerr.Code(getInt(e, "code", 0)), "%s", getString(e, "errmsg"))
}

func tellsOfState(node bson.Raw) bool {
	return slices.Contains(stateChanges, mongoerr.Code(getInt(node, "code", 0)))
}

func cloakNode(node bson.Raw) bson.D {
	out := bson.D{}
	hide := tellsOfState(node)
	for name, v := range value.Elements(node) {
		e := bson.E{Key: name, Value: v}
		switch {
		case !hide:
		case name == "code":
			e.Value = int32(mongoerr.HostUnreachable)
		case name == "codeName":
			e.Value = mongoerr.CodeName(mongoerr.HostUnreachable)
		case name == "errmsg":
			e.Value = statePhrases.Replace(v.StringValue())
		}
		out = append(out, e)
	}
	return out
}
