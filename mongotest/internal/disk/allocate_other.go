//go:build !linux

package disk

import "os"

// allocate gives the file its size and the space for it.
func allocate(f *os.File, size int64) error { return fill(f, size) }
