// Package capacity measures what one leader of the coordinator carries: three nodes
// with real logs on disk that talk over the loopback interface, and as many simulated
// workers as asked for, which report as real ones do. It never touches a cluster.
package capacity
