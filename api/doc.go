// Package api is the HTTP interface of a node: its types, its server and a
// client for it. Paths and field names of /api/v1/start, progress, pause,
// resume, commit and reverse are mongosync's, so that existing scripts work;
// what shardferry adds stands beside them.
//
// It never decides anything: a Controller does.
package api
