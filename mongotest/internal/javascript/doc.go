// Package javascript runs the server-side JavaScript of one operation: $where,
// $function, $accumulator and mapReduce. It owns the engine, the global scope
// that scripts of a MongoDB server find, and the conversion between BSON and
// JavaScript both ways.
//
// It knows nothing of collections, commands or pipelines, and keeps nothing
// between operations. Whoever calls it must not hold a lock: a script may sleep,
// and may run until its operation ends.
package javascript
