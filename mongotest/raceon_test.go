//go:build race

package mongotest_test

// memberWalks is small here: in hours of virtual time the timers of a bubble and
// the race detector of go1.26 crash the process now and then, in the runtime
// itself (runtime.timer.maybeRunChan).
const memberWalks = 2
