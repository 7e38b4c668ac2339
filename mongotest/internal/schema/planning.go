package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// planningCommands are the commands that say how queries are planned.
func planningCommands() map[string]*spec {
	shape := of(bson.TypeEmbeddedDocument, bson.TypeString).notNull().required()
	hint := structure(fields{
		"ns":             structure(fields{"db": text, "coll": text}).required(),
		"allowedIndexes": array.required().with(isIndexList),
	})
	hints := of(bson.TypeEmbeddedDocument, bson.TypeArray)
	hints.of, hints.element = hint.of, &hint
	settings := structure(fields{
		"indexHints": hints, "queryFramework": oneOf("classic", "sbe").notNull(), "reject": boolean.notNull(), "comment": anything,
	})
	plans := &spec{first: collection, traits: lenient}
	return map[string]*spec{
		"setQuerySettings":    {first: shape, traits: adminOnly, fields: fields{"settings": settings.required()}},
		"removeQuerySettings": {first: shape, traits: adminOnly},
		"planCacheClear":      plans, "planCacheSetFilter": plans, "planCacheListFilters": plans, "planCacheClearFilters": plans,
	}
}

// isIndexList accepts names and key patterns.
func isIndexList(path string, v bson.RawValue) error {
	for i, ix := range value.Elements(v.Value) {
		if ix.Type != bson.TypeString && ix.Type != bson.TypeEmbeddedDocument {
			return mongoerr.New(mongoerr.FailedToParse, "BSON field '%s.%s' must be a string or an object", path, i)
		}
	}
	return nil
}
