package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes of the wire protocol that are spoken here.
const (
	opReply      = 1
	opQuery      = 2004
	opCompressed = 2012
	opMsg        = 2013
)

const (
	headerLen      = 16
	maxMessageSize = 48_000_000 // maxMessageSizeBytes of hello
)

// errProtocol reports bytes that are no message. The connection they came on
// is closed: nothing after them can be trusted.
var errProtocol = errors.New("wire protocol violation")

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errProtocol, fmt.Sprintf(format, args...))
}

// A frame is one message as it came, header included. Documents parsed from it
// alias raw, so each frame has a buffer of its own.
type frame struct {
	raw       []byte
	requestID int32
	op        int32
}

func (f frame) payload() []byte { return f.raw[headerLen:] }

// readFrame reads one message. It returns io.EOF if the stream ends before it.
func readFrame(r io.Reader) (frame, error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := int32(binary.LittleEndian.Uint32(head[:]))
	if n < headerLen || n > maxMessageSize {
		return frame{}, protocolError("message length %d", n)
	}
	raw := make([]byte, n)
	copy(raw, head[:])
	if _, err := io.ReadFull(r, raw[headerLen:]); err != nil {
		return frame{}, fmt.Errorf("message of %d bytes: %w", n, err)
	}
	return parseFrame(raw), nil
}

// parseFrame returns the frame of a whole message, whose length was checked.
func parseFrame(raw []byte) frame {
	return frame{
		raw:       raw,
		requestID: int32(binary.LittleEndian.Uint32(raw[4:])),
		op:        int32(binary.LittleEndian.Uint32(raw[12:])),
	}
}

// appendHeader appends a message header whose length is set by finishMessage.
func appendHeader(dst []byte, responseTo, requestID, op int32) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(requestID))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(responseTo))
	return binary.LittleEndian.AppendUint32(dst, uint32(op))
}

// finishMessage sets the length of the message that msg consists of.
func finishMessage(msg []byte) {
	binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
}
