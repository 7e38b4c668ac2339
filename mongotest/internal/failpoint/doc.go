// Package failpoint holds the fail points of one server process: the places at
// which configureFailPoint makes something go wrong.
package failpoint
