// Package aggregate compiles and runs aggregation expressions and pipelines
// over raw documents.
//
// It knows no storage: other collections are reached through the Env its
// caller supplies, and the stages that read a server's own state are made by
// that caller as sources. Everything runs in memory.
package aggregate
