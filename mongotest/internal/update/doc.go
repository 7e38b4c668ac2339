// Package update changes documents the way the server's update command does:
// operators, replacements and pipelines, and the $v:2 diffs an oplog carries.
//
// It works from raw bytes to raw bytes and knows no collection, no index and
// no oplog. A document handed in is never changed in place.
package update
