package wire

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

// compressedHead is what precedes the payload of OP_COMPRESSED: the original
// opcode, the uncompressed size, the compressor.
const compressedHead = 4 + 4 + 1

// compressorID returns the number of a compressor on the wire.
func compressorID(name string) (byte, bool) {
	switch name {
	case "snappy":
		return byte(wiremessage.CompressorSnappy), true
	case "zlib":
		return byte(wiremessage.CompressorZLib), true
	case "zstd":
		return byte(wiremessage.CompressorZstd), true
	default:
		return 0, false
	}
}

// decompress returns the message inside OP_COMPRESSED and its opcode.
func (m *message) decompress(p []byte) (payload []byte, op int32, err error) {
	if len(p) < compressedHead {
		return nil, 0, protocolError("OP_COMPRESSED of %d bytes", len(p))
	}
	op = int32(binary.LittleEndian.Uint32(p))
	size := int32(binary.LittleEndian.Uint32(p[4:]))
	if size < 0 || size > maxMessageSize-headerLen {
		return nil, 0, protocolError("uncompressed size %d", size)
	}
	m.compressor = p[8]
	payload, err = driver.DecompressPayload(p[compressedHead:], driver.CompressionOpts{
		Compressor:       wiremessage.CompressorID(m.compressor),
		UncompressedSize: size,
	})
	if err != nil {
		return nil, 0, protocolError("decompress: %v", err)
	}
	if len(payload) != int(size) {
		return nil, 0, protocolError("decompressed %d bytes, said to be %d", len(payload), size)
	}
	return payload, op, nil
}

// compress turns a finished message into OP_COMPRESSED.
func compress(msg []byte, compressor byte) ([]byte, error) {
	opts := driver.CompressionOpts{
		Compressor: wiremessage.CompressorID(compressor),
		ZlibLevel:  wiremessage.DefaultZlibLevel,
		ZstdLevel:  1, // a test's time is worth more than its bytes
	}
	body, err := driver.CompressPayload(msg[headerLen:], opts)
	if err != nil {
		return nil, err
	}
	f := parseFrame(msg)
	out := make([]byte, 0, headerLen+compressedHead+len(body))
	out = append(out, msg[:headerLen]...)
	binary.LittleEndian.PutUint32(out[12:], opCompressed)
	out = binary.LittleEndian.AppendUint32(out, uint32(f.op))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(msg)-headerLen))
	out = append(out, compressor)
	out = append(out, body...)
	finishMessage(out)
	return out, nil
}
