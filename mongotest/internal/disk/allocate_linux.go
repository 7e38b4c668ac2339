package disk

import (
	"errors"
	"os"
	"syscall"
)

// allocate gives the file its size and the space for it.
func allocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP):
			return fill(f, size)
		default:
			return err
		}
	}
}
