// Package access says who may log in to a simulated cluster and what they may
// do there: users with their SCRAM credentials, built-in and custom roles, the
// privileges these grant, and the privileges each command needs.
//
// It keeps no state. Users and roles are documents of admin.system.users and
// admin.system.roles, in the form the server gives them; package mongod stores
// them, package wire asks before each command.
package access
