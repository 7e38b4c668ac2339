package release

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// checkFields refuses what later releases have in commands besides stages and
// operators. It is called for those before 8.0.
func (v Version) checkFields(req *command.Request) error {
	switch req.Name {
	case "insert", "update", "findAndModify", "findandmodify":
		const field = "bypassEmptyTsReplacement"
		if _, err := req.Body.LookupErr(field); err == nil {
			return mongoerr.New(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", req.Name, field)
		}
	case "createIndexes":
		if !v.AtLeast(7, 0) {
			return checkIndexes(req)
		}
	}
	return nil
}

// checkIndexes refuses wildcard indexes on more than the wildcard.
func checkIndexes(req *command.Request) error {
	specs, err := req.Docs("indexes")
	if err != nil {
		return nil //nolint:nilerr // whoever carries it out reports it
	}
	for _, spec := range specs {
		key, _ := spec.Lookup("key").DocumentOK()
		if n, wild := countFields(key); wild && n > 1 {
			return mongoerr.New(mongoerr.CannotCreateIndex, "wildcard indexes do not allow compounding")
		}
	}
	return nil
}

func countFields(key bson.Raw) (n int, wild bool) {
	for name := range value.Elements(key) {
		wild = wild || name == "$**" || strings.HasSuffix(name, ".$**")
		n++
	}
	return n, wild
}
