// Package model explores every interleaving of a small abstract version of the
// data path, to show which of its rules are needed and that together they are
// enough.
//
// It shares no code with the product on purpose: it is the argument that the
// rules are right, and the product's tests show that the product follows them.
package model
