// Package node builds one whole node from a Config: the coordinator with its
// reconcilers, the workers of the shards it owns, and the controller behind the
// API. It is the only place where coordinator and shardworker meet, and it
// holds no rule of its own about what is safe: those live in the packages that
// it joins.
package node
