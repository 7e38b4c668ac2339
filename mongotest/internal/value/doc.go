// Package value works on BSON values as the server does, without decoding
// them: order, equality, paths, validation and construction.
//
// Values are bson.RawValue, documents bson.Raw; a RawValue whose Type is 0
// stands for a missing value. Apart from Validate, functions expect well formed
// BSON; on damaged bytes they stop early or treat the value as empty, they
// never panic. Nothing here changes a document in place.
package value
