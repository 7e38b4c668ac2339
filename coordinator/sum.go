package coordinator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"

	"github.com/shardferry/shardferry/coordinator/state"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf is the checksum of a command. It travels with the command in raft's log:
// bbolt has checksums of its own head only, and a bit that has turned over would
// make one node's truth another one.
func sumOf(command []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(command, castagnoli))
}

var errSum = errors.New("its checksum is wrong")

// checkSum compares an entry with its checksum. Entries had none at first.
func checkSum(entry *raft.Log) error {
	if entry.Type != raft.LogCommand || len(entry.Extensions) == 0 {
		return nil
	}
	if string(entry.Extensions) != string(sumOf(entry.Data)) {
		return fmt.Errorf("entry %d: %w", entry.Index, errSum)
	}
	return nil
}

// readEntry reads a command from the log.
func readEntry(entry *raft.Log) (state.Command, error) {
	if err := checkSum(entry); err != nil {
		return nil, err
	}
	return decodeCommand(entry.Data)
}
