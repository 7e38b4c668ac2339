package coordinator

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// compressed is the code of an entry that is another entry, compressed with zstd.
const compressed = 255

const (
	// largeEntry is from where on an entry is compressed. Raft reads an entry in steps of
	// 64 KiB and copies all of it at each (go-msgpack: decByteSlice), on every way that
	// it takes: 20 MB make all nodes miss their heartbeats for as long as anybody tries.
	largeEntry = 64 << 10

	// largestEntry is what raft carries without that, compressed. It is room for some
	// 400,000 copy tasks.
	largestEntry = 16 << 20

	// largestExpanded bounds what a damaged entry can claim to be.
	largestExpanded = 1 << 30
)

// ErrTooLarge reports a command that would hold up raft.
var ErrTooLarge = errors.New("the sync is too large for the coordinator's log: exclude collections, or give more of the work to a second sync")

func compress(entry []byte) ([]byte, error) {
	if len(entry) < largeEntry {
		return entry, nil
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("compress a command: %w", err)
	}
	b := z.EncodeAll(entry, []byte{compressed})
	if len(b) > largestEntry {
		return nil, fmt.Errorf("%w: %d MiB, compressed, is the most", ErrTooLarge, largestEntry>>20)
	}
	return b, z.Close()
}

func expand(entry []byte) ([]byte, error) {
	if entry[0] != compressed {
		return entry, nil
	}
	z, err := zstd.NewReader(bytes.NewReader(entry[1:]), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("expand a command: %w", err)
	}
	defer z.Close()
	b, err := io.ReadAll(io.LimitReader(z, largestExpanded))
	if err == nil && (len(b) == 0 || b[0] == compressed) {
		err = errors.New("there is no command in it")
	}
	if err != nil {
		return nil, fmt.Errorf("expand a command: %w", err)
	}
	return b, nil
}
