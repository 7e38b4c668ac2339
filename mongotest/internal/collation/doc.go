// Package collation is MongoDB's collation: how strings are compared by the
// rules of a language instead of by their bytes.
//
// It reads a collation document as the server does, gives its full form, and
// turns strings into comparison keys: bytes whose order is the order of the
// strings. A nil *Collation is the simple collation, which compares bytes and
// costs nothing; every method takes it.
//
// The weights come from golang.org/x/text/collate (CLDR 23, where the server has
// ICU 57 with CLDR 29). What that package lacks is made here of its weights: the
// case level, case first, alternate and maxVariable, numeric ordering, the
// quaternary level and the order of scripts. The package never looks at
// commands, documents' paths or indexes.
package collation
