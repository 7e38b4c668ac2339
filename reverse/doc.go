// Package reverse knows the way back: what must hold so that a sync can be
// reversed, and where the opposite leg starts when a commit ends. The flow back
// itself is the same machinery as the flow forward, with the ends swapped.
package reverse
