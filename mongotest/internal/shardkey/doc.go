// Package shardkey says what may be a shard key, and what analyzeShardKey and
// configureQueryAnalyzer say of one: the part of these commands that a mongod and
// a mongos have in common. It reads documents and writes replies; where they come
// from and go to is none of its business.
package shardkey
