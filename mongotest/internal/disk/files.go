package disk

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// fill writes zeros, where space cannot be had without.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// segmentNumbers returns the numbers of a log's segments, ascending, and the
// names of those that were never completed.
func segmentNumbers(dir string) (numbers []uint32, partial []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, partialExt) {
			partial = append(partial, name)
			continue
		}
		digits, ok := strings.CutSuffix(name, segmentExt)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 {
			return nil, nil, &RefusedError{Path: dir, Reason: "there is a file " + name + " that does not belong there: take it away"}
		}
		numbers = append(numbers, uint32(n))
	}
	slices.Sort(numbers)
	return numbers, partial, nil
}
