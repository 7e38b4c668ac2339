//go:build race

package coordinator_test

// historiesPlayed is how many histories of the control plane are played if nobody says.
const historiesPlayed = 40
