// Package planning keeps what a server knows about the shapes of queries: the
// index filters and query settings that operators gave, and the plans that won
// against others. A shape is a query without its constants.
//
// It chooses no plan itself, and knows no storage.
package planning
