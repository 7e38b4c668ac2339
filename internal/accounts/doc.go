// Package accounts reads the users and roles of a cluster, compares them with
// those of another one, and brings them over with their credentials as
// mongorestore does it.
//
// It never changes an account that is not named to it, and no text that it
// returns, errors included, repeats what a document of a user holds.
package accounts
