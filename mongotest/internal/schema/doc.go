// Package schema says what every command accepts: its fields, their types and
// which of them it cannot do without. Check holds a command against that before
// it runs, as strictly as the server does. The tables are the whole knowledge:
// what a field means is none of its business. Commands without a table are let
// through.
package schema
