package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

const maxFile = 1 << 20 // bytes of a file of tokens or certificates

// A fromFiles is a value that is read from files, and read again as soon as one
// of them holds something else. It looks at the bytes: times of files are coarse,
// and mounted secrets are changed by links.
type fromFiles[T any] struct {
	load func(read func(path string) ([]byte, error)) (T, error)
	told func(err error) // of a new value, or of why the old one stays

	mu    sync.Mutex
	value T
	paths []string          // as they were read
	seen  [sha256.Size]byte // of what they held
}

// open reads the value for the first time.
func (f *fromFiles[T]) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reload()
}

// get returns the value as the files have it now, or the last good one.
func (f *fromFiles[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := sha256.New()
	for _, path := range f.paths {
		_, _ = readInto(h, path) // a file that cannot be read is another content too
	}
	if [sha256.Size]byte(h.Sum(nil)) != f.seen {
		f.told(f.reload())
	}
	return f.value
}

// reload reads the value. The caller holds mu.
func (f *fromFiles[T]) reload() error {
	h := sha256.New()
	var paths []string
	v, err := f.load(func(path string) ([]byte, error) {
		paths = append(paths, path)
		return readInto(h, path)
	})
	f.paths, f.seen = paths, [sha256.Size]byte(h.Sum(nil))
	if err == nil {
		f.value = v
	}
	return err
}

// readInto returns what a file holds, and notes it in h.
func readInto(h hash.Hash, path string) ([]byte, error) {
	b, err := readFile(path)
	if err != nil {
		b = nil
		_, _ = io.WriteString(h, "!") // a hash takes everything
	}
	_ = binary.Write(h, binary.BigEndian, int64(len(b)))
	_, _ = h.Write(b)
	return b, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(f, maxFile+1))
	if err == nil && n > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return b.Bytes(), err
}
