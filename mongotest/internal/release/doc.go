// Package release knows what a server release has and what it lacks. It refuses
// the commands, stages and operators that came later, with the errors of a
// server that has never heard of them.
package release
