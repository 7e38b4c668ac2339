// Package query is the server's query language over raw documents: filters,
// projections and sorts, each compiled once and applied to many documents.
//
// It never decodes a document and knows nothing of storage, indexes or
// commands. Aggregation expressions in filters and projections are evaluated by
// hooks that the caller gives in Options, since their language lies in a
// package above.
package query
