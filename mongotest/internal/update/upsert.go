package update

import "go.mongodb.org/mongo-driver/v2/bson"

// UpsertBase returns the document an upsert starts from: the fields that
// filter fixes by equality.
func UpsertBase(filter bson.Raw) (bson.Raw, error) { return nil, nil }
