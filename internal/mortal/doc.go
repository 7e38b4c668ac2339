// Package mortal runs the real product in virtual time, and lets it die.
//
// It owns the bubble, and a node's life: how one is started on a data directory,
// killed so that nothing it does afterwards counts, and started again. It knows
// nothing of what is tested: faults, data and checks are its callers'.
package mortal
