package wire

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// isHello reports whether a command is the handshake, by any of its names.
func isHello(name string) bool {
	return name == "hello" || name == "isMaster" || name == "ismaster"
}

// noteApp remembers the application name of the connection's first hello.
func (c *conn) noteApp(req *command.Request) {
	if c.helloSeen {
		return
	}
	c.helloSeen = true
	if name, ok := req.Body.Lookup("client", "application", "name").StringValueOK(); ok {
		c.client.AppName = name
	}
}

// handshake adds to a hello's reply what only the connection knows.
func (c *conn) handshake(m *message, r *reply) {
	if ok, isBool := m.body.Lookup("helloOk").BooleanOK(); ok && isBool {
		r.add("helloOk", boolValue(true))
	}
	r.add("connectionId", int32Value(int32(c.client.ID)))
	if list, ok := m.body.Lookup("compression").ArrayOK(); ok {
		c.agreed = c.srv.commonCompressors(list)
		if len(c.agreed) > 0 {
			r.add("compression", stringsValue(c.agreed))
		}
	}
	if user, ok := m.body.Lookup("saslSupportedMechs").StringValueOK(); ok {
		if mechs := mechanismsOf(c.srv.cfg.Users, user); len(mechs) > 0 {
			r.add("saslSupportedMechs", stringsValue(mechs))
		}
	}
	if spec, ok := m.body.Lookup("speculativeAuthenticate").DocumentOK(); ok {
		if doc := c.speculate(spec); doc != nil {
			r.add("speculativeAuthenticate", bsoncore.Value{Type: bsoncore.TypeEmbeddedDocument, Data: doc})
		}
	}
}

// commonCompressors returns those of a client's compressors that the server
// has, in the client's order.
func (s *Server) commonCompressors(offered bson.RawArray) []string {
	values, err := offered.Values()
	if err != nil {
		return nil // cannot happen: the body was validated
	}
	var common []string
	for _, v := range values {
		if name, ok := v.StringValueOK(); ok && slices.Contains(s.cfg.Compressors, name) {
			common = append(common, name)
		}
	}
	return common
}

// agreedOn returns id if its compressor was agreed on, else 0.
func (c *conn) agreedOn(id byte) byte {
	for _, name := range c.agreed {
		if known, _ := compressorID(name); known == id {
			return id
		}
	}
	return 0
}

// compressible is false for the commands whose messages carry secrets.
func compressible(name string) bool {
	switch name {
	case "saslStart", "saslContinue", "getnonce", "authenticate", "createUser", "updateUser":
		return false
	default:
		return !isHello(name)
	}
}

// exhaust answers a hello of a monitor: again and again, each time with
// moreToCome, until the client goes away. The handler waits up to
// maxAwaitTimeMS for a topologyVersion newer than the one in the request; if
// it reports none, or the client gave none, there is one reply only.
func (c *conn) exhaust(ctx context.Context, m *message, req *command.Request) error {
	responseTo := m.requestID
	_, waits := req.Body.Lookup("topologyVersion").DocumentOK()
	for {
		resp, err := c.perform(ctx, m, req)
		if errors.Is(err, errDropped) {
			return err
		}
		r, err2 := c.reply(m, resp, err)
		if err2 != nil {
			return err2
		}
		version, reported := r.body.Lookup("topologyVersion").DocumentOK()
		if err != nil || !waits || !reported {
			_, err := c.write(r, m, responseTo, 0)
			return err
		}
		if responseTo, err = c.write(r, m, responseTo, flagMoreToCome); err != nil {
			return err
		}
		next := *req
		next.Body = withTopologyVersion(req.Body, version)
		req = &next
	}
}

// withTopologyVersion returns a hello that waits for a version after the given
// one.
func withTopologyVersion(hello, version bson.Raw) bson.Raw {
	idx, dst := bsoncore.AppendDocumentStart(nil)
	elems, _ := hello.Elements() // validated
	for _, e := range elems {
		if e.Key() == "topologyVersion" {
			dst = bsoncore.AppendDocumentElement(dst, "topologyVersion", bsoncore.Document(version))
			continue
		}
		dst = append(dst, e...)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, idx) // fails only on a wrong index
	return bson.Raw(dst)
}

func boolValue(b bool) bsoncore.Value {
	return bsoncore.Value{Type: bsoncore.TypeBoolean, Data: bsoncore.AppendBoolean(nil, b)}
}

func int32Value(i int32) bsoncore.Value {
	return bsoncore.Value{Type: bsoncore.TypeInt32, Data: bsoncore.AppendInt32(nil, i)}
}

func stringsValue(list []string) bsoncore.Value {
	b := bsoncore.NewArrayBuilder()
	for _, s := range list {
		b.AppendString(s)
	}
	return bsoncore.Value{Type: bsoncore.TypeArray, Data: b.Build()}
}
