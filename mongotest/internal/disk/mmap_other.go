//go:build !unix

package disk

import (
	"errors"
	"os"
)

func mapFile(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) error { return errors.ErrUnsupported }

func lockFile(*os.File) (bool, error) { return false, errors.ErrUnsupported }
