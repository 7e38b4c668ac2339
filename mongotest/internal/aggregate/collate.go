package aggregate

import (
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The collation of a command goes with its variables, so that it reaches every
// expression. Operators that compare use it; those that look into strings, such
// as $indexOfBytes, do not.

// Collated returns v with a collation, nil for the simple one.
func (v Vars) Collated(coll *collation.Collation) Vars {
	v.coll = coll
	return v
}

// Collation is how strings are compared, nil if by their bytes.
func (v Vars) Collation() *collation.Collation { return v.coll }

// compare orders values, missing below everything but MinKey.
func (v Vars) compare(a, b bson.RawValue) int {
	if v.coll == nil {
		return compare(a, b)
	}
	if a.Type == 0 {
		a = value.Undefined()
	}
	if b.Type == 0 {
		b = value.Undefined()
	}
	return v.coll.Compare(a, b)
}

// groupKey is equal for equal values: the key an index would have.
func (v Vars) groupKey(x bson.RawValue) string {
	return string(keystring.Append(nil, v.coll.Key(x), false))
}

// collated is an operator over a list of evaluated operands that compares them.
type collated struct {
	min, max int // max -1: any number
	fn       func(vars Vars, args []bson.RawValue) (bson.RawValue, error)
}

var collatedOps = sync.OnceValue(func() map[string]collated {
	return merged(compareOps, setOps, arrayCompareOps, extremeOps)
})

func compileCollated(name string, def collated, arg bson.RawValue) (evalFunc, error) {
	fns, err := compileOperands(name, def.min, def.max, arg)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		args, err := evalAll(c, fns)
		if err != nil {
			return bson.RawValue{}, err
		}
		return def.fn(c.vars, args)
	}, nil
}
