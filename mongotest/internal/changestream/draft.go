package changestream

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The operationTypes of events.
const (
	typeInsert       = "insert"
	typeUpdate       = "update"
	typeReplace      = "replace"
	typeDelete       = "delete"
	typeDrop         = "drop"
	typeRename       = "rename"
	typeDropDatabase = "dropDatabase"
	typeInvalidate   = "invalidate"
	typeCreate       = "create"
	typeModify       = "modify"
	typeCreateIndex  = "createIndexes"
	typeDropIndex    = "dropIndexes"
)

// A draft is an event before it is rendered: what the oplog entry says.
type draft struct {
	kind        string // operationType
	ns          *namespace
	to          *namespace // rename's target
	uuid        value.UUID
	view        bool // of a view: no collectionUUID
	documentKey bson.Raw
	// description is operationDescription. It is part of the token even when
	// the event does not show it.
	description bson.Raw
	full        bson.Raw // fullDocument of insert and replace
	update      bson.Raw // the oplog's o of an update
	before      bson.Raw // stateBeforeChange
	nsType      string
}

// isCRUD reports whether the event is about one document.
func (d *draft) isCRUD() bool { return d.documentKey != nil }

// isClassic reports whether the event is shown without showExpandedEvents.
func (d *draft) isClassic() bool {
	return !d.view && isClassicType(d.kind)
}

func isClassicType(kind string) bool {
	switch kind {
	case typeInsert, typeUpdate, typeReplace, typeDelete, typeDrop, typeRename, typeDropDatabase, typeInvalidate:
		return true
	}
	return false
}

// invalidates reports whether the event ends a stream of this scope.
func (d *draft) invalidates(scope Scope) bool {
	switch d.kind {
	case typeDrop, typeRename:
		return scope == ScopeCollection
	case typeDropDatabase:
		return scope != ScopeCluster
	}
	return false
}

// identifier returns the token's eventIdentifier in the given format.
func (d *draft) identifier(version int) bson.Raw {
	if version == V1 && d.isClassic() {
		return d.documentKey // nil for those without: the token has no identifier
	}
	switch {
	case d.isCRUD():
		return value.D("operationType", d.kind, "documentKey", d.documentKey)
	case d.description != nil:
		return value.D("operationType", d.kind, "operationDescription", d.description)
	}
	return value.D("operationType", d.kind)
}
