package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// checkValidate refuses options that exclude each other.
func (op *operation) checkValidate() (metadata bool, err error) {
	a := op.args()
	metadata = value.Truthy(a.lookup("metadata"))
	conformance, repair := value.Truthy(a.lookup("checkBSONConformance")), value.Truthy(a.lookup("repair"))
	for _, other := range []string{"full", "repair", "checkBSONConformance", "background", "enforceFastCount"} {
		if metadata && value.Truthy(a.lookup(other)) {
			return false, mongoerr.New(mongoerr.InvalidOptions, "Running the validate command with both {metadata: true} and {%s: true} is not supported", other)
		}
	}
	if conformance && repair {
		return false, mongoerr.New(mongoerr.InvalidOptions, "Running the validate command with both {checkBSONConformance: true} and {repair: true} is not supported")
	}
	if repair || value.Truthy(a.lookup("fixMultikey")) {
		return false, mongoerr.New(mongoerr.InvalidOptions, "Running the validate command with { repair: true } or { fixMultikey: true } in replica set configurations is not supported")
	}
	return metadata, a.err
}

// runValidate answers validate: what the storage holds is always consistent.
func runValidate(_ context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	metadata, err := op.checkValidate()
	if err != nil {
		return nil, err
	}
	ns := op.req.DB + "." + coll
	var reply bson.Raw
	err = op.view(func(tx *storage.Tx) error {
		c := holder(tx, tx.Collection(ns))
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "Collection '%s' does not exist to validate.", ns)
		}
		if c.IsView() {
			return viewError(c)
		}
		reply = describeValid(c, metadata)
		return nil
	})
	return reply, err
}

func describeValid(c *storage.Collection, metadata bool) bson.Raw {
	var keys, details []any
	for _, ix := range c.Indexes() {
		keys = append(keys, ix.Name, value.Integer(ix.Len()))
		details = append(details, ix.Name, value.D("valid", true, "spec", ix.Spec))
	}
	pairs := []any{"ns", c.NS, "uuid", c.UUID.Binary()}
	if !metadata {
		pairs = append(pairs, "nInvalidDocuments", 0, "nNonCompliantDocuments", 0, "nrecords", value.Integer(c.Count()))
	}
	pairs = append(pairs, "nIndexes", len(c.Indexes()))
	if !metadata {
		pairs = append(pairs, "keysPerIndex", value.D(keys...))
	}
	return value.D(append(pairs, "indexDetails", value.D(details...), "valid", true, "repaired", false, "repairMode", "None",
		"warnings", value.A(), "errors", value.A(), "extraIndexEntries", value.A(), "missingIndexEntries", value.A(), "corruptRecords", value.A())...)
}
