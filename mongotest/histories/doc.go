// Package histories tests what clients of a simulated cluster rely on most:
// that change streams tell everything that happened, once, in order, from
// wherever they are resumed. It plays random histories against a model in plain
// Go, in virtual time, and holds no other code.
package histories
