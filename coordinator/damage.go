package coordinator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged reports a log that cannot be read. What a node has voted for and
// taken is in it, so it cannot go on without.
var ErrDamaged = errors.New("the data directory is damaged")

func damaged(path string, why any) error {
	return fmt.Errorf("%s: %w: %v. Where there are other nodes: remove this one (shardferry cluster leave), delete the directory, and have the node join again", path, ErrDamaged, why)
}

// openBolt opens raft's log and reads all of it once: what cannot be read is to be
// found now, and not in the middle of something.
func openBolt(path string) (log *raftboltdb.BoltStore, err error) {
	// A file that is shorter than it says, or whose pages name others that do not
	// exist, makes bbolt panic or read beyond its mapping.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil {
			log, err = nil, damaged(path, why)
		}
	}()
	if err := checkHeads(path); err != nil {
		return nil, err
	}
	log, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: time.Second}})
	if err != nil {
		return nil, unopened(path, err)
	}
	if err := readLog(log); err != nil {
		return nil, errors.Join(damaged(path, err), log.Close())
	}
	return log, nil
}

// readLog makes sure that every entry is there, and is what it says.
func readLog(log raft.LogStore) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	for i := first; i <= last; i++ {
		var entry raft.Log
		if err := log.GetLog(i, &entry); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if entry.Index != i {
			return fmt.Errorf("entry %d says that it is %d", i, entry.Index)
		}
		if err := checkSum(&entry); err != nil {
			return err
		}
	}
	return nil
}

// The first two pages of a bbolt file say where everything is, as of the last two
// transactions (bbolt: internal/common/meta.go).
const (
	headAt   = 16 // after the head of the page
	headSize = 64
	sumAt    = 56 // in it, an FNV-1a of what comes before
	pageAt   = 8  // in it, the size of a page
)

// checkHeads refuses a file of which only one head is whole: bbolt would go on
// from the other without a word, and forget what raft did last. It would also write
// over the one that is not, so this comes before anything else.
func checkHeads(path string) (err error) {
	if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	// Opened, so that nobody writes meanwhile.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return unopened(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	page := int64(0)
	for range 2 {
		var head [headSize]byte
		if _, err := f.ReadAt(head[:], page+headAt); err != nil {
			return damaged(path, err)
		}
		sum := fnv.New64a()
		_, _ = sum.Write(head[:sumAt]) // a hash takes everything
		if sum.Sum64() != binary.NativeEndian.Uint64(head[sumAt:]) {
			return damaged(path, fmt.Sprintf("the head at %d is not whole", page))
		}
		page = int64(binary.NativeEndian.Uint32(head[pageAt:]))
	}
	return nil
}

// unopened says why a file cannot be opened.
func unopened(path string, err error) error {
	var system syscall.Errno
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s: %w", path, ErrInUse)
	case errors.As(err, &system):
		return fmt.Errorf("open %s: %w", path, err)
	}
	return damaged(path, err)
}
