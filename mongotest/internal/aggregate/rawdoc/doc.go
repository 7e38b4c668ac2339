// Package rawdoc holds what expressions and updates share in handling raw
// BSON: a builder of documents, the server's names of types, and its rendering
// of values in messages.
//
// It trusts its input to be valid BSON; on bytes that are not, walks end early.
package rawdoc
