// Package mongotest is a MongoDB cluster inside one process, for tests: a
// replica set, or a sharded cluster with its routers and config server, that
// answers the official drivers over the wire protocol.
//
//	c, err := mongotest.New(mongotest.Options{Shards: 2})
//	go c.Run(ctx)
//	client, err := mongo.Connect(c.ClientOptions())
//
// Clients reach it in memory, by the names its URI gives (see
// [Cluster.Dialer]), or over TCP ([Cluster.ListenAndServe]). In memory all
// waiting is on channels and timers, so a test may run the cluster and its
// clients in a testing/synctest bubble, where hours pass in milliseconds.
// Cancel Run's context and wait for it before leaving the bubble.
//
// Every change is in an oplog, with the timestamps, change events and resume
// tokens a real server makes of it. A test disturbs the cluster through
// [Cluster.SetFaults] and the methods beside it. What the simulation leaves out
// is refused with the error of a server that does not know it, never ignored.
//
// The package is the composition root of the simulator: it owns names,
// connections and the life of everything else, and no behaviour of a server.
// It imports nothing of the synchronisation it helps to test.
package mongotest
