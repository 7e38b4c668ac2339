// Package wire speaks MongoDB's wire protocol on one connection: framing,
// OP_MSG, OP_QUERY for the handshake, compression, the exhaust form of hello,
// SCRAM authentication, and the fields every reply ends with.
//
// It owns what belongs to a connection (who is logged in, which compressors
// were agreed on, which faults a test has set) and answers the commands about
// those itself. Everything else goes to a command.Handler. It opens no
// connection and listens on none, and it never interprets a document beyond
// the handshake's fields.
package wire
