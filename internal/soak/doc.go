// Command soak plays thousands of short histories, each drawn from a seed: two
// simulated clusters, the real node between them, and an application that makes
// the source live through every kind of change, with every kind of document,
// while faults strike and the node dies at named steps. Package checker, which
// knows nothing of the product, then compares both clusters byte for byte.
//
// Package chaos tells the longer story: few seeds, many writes of few kinds, a
// ledger of what was acknowledged, commits and rollbacks. Here it is breadth that
// counts: what there is stands in tables (changes, documents, faults, moments at
// which the node dies), each history takes a few rows, and none may be left
// without a hit.
//
// Half of the histories take but a part of the source, or some of the documents of
// a collection, or give other names: what a row of that table asks for and what
// it means stand beside each other, so that neither is derived from the other.
// Some bring users and roles over.
//
// A change that the product refuses has the words of the refusal in its row. Its
// histories must end with exactly that, so that nothing is left out in silence.
// Once it is supported the words are deleted, and the same histories must pass.
//
// A history that fails is told as few of its parts as still fail, with the
// command that plays just those.
package main
