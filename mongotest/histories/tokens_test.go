package histories_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A token is a resume token taken apart by hand (server-facts 1.9): hexadecimal
// digits of a time, a version and the rest.
type token struct {
	time    string // of 18 digits
	version int
	event   bool
	index   string // txnOpIndex
	rest    string // from fromInvalidate on
	bits    []byte
}

func parseToken(doc bson.Raw) token {
	data := str(doc, "_data")
	_, bits, _ := doc.Lookup("_typeBits").BinaryOK()
	t := token{time: data[:18], version: int(data[21]-'0') / 2, bits: bits}
	rest := data[22:]
	if strings.HasPrefix(rest, "2C0100") {
		t.event, rest = true, rest[6:]
	} else {
		rest = rest[2:]
	}
	n := 2 // digits of the index
	if rest[:2] != "29" {
		b, err := hex.DecodeString(rest[:2])
		if err != nil {
			panic(err)
		}
		n += 2 * (int(b[0]) - 0x2A)
	}
	t.index, t.rest = rest[:n], rest[n:]
	return t
}

func (t token) doc() bson.Raw {
	kind := "29"
	if t.event {
		kind = "2C0100"
	}
	d := bson.D{{"_data", fmt.Sprintf("%s2B0%d%s%s%s", t.time, 2*t.version, kind, t.index, t.rest)}}
	if len(t.bits) > 0 {
		d = append(d, bson.E{Key: "_typeBits", Value: bson.Binary{Data: t.bits}})
	}
	return raw(d)
}

func (t token) timestamp() bson.Timestamp {
	var ts bson.Timestamp
	if _, err := fmt.Sscanf(t.time, "82%08X%08X", &ts.T, &ts.I); err != nil {
		panic(err)
	}
	return ts
}

// highWater is the token of a time.
func highWater(ts bson.Timestamp, version int) bson.Raw {
	return token{time: fmt.Sprintf("82%08X%08X", ts.T, ts.I), version: version, index: "29", rest: map[int]string{1: "6E04", 2: "6E1404"}[version]}.doc()
}

func hexString(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }

// operation is how an eventIdentifier of version 2 begins.
func operation(kind string) string {
	return "46" + "3C" + hexString("operationType") + "00" + "3C" + hexString(kind) + "00"
}

var documentKey = "46" + hexString("documentKey") + "00"

// as returns the token of the event in another version; false for what this test
// does not take apart.
func (t token) as(version int, e bson.Raw) (token, bool) {
	if version == t.version {
		return t, true
	}
	if !t.event {
		t.rest = map[int]string{1: "6E04", 2: "6E1404"}[version]
		t.version = version
		return t, true
	}
	kind := str(e, "operationType")
	t.version = version
	invalidate, id := t.rest[:2], t.rest[2:len(t.rest)-2]
	uuid := ""
	if strings.HasPrefix(id, "5A1004") {
		uuid, id = id[:38], id[38:]
	} else {
		id = strings.TrimPrefix(id, "14")
	}
	switch kind {
	case "insert", "update", "replace", "delete":
		t.bits = crudBits(t.bits, version, e)
		if version == 1 {
			id = strings.TrimPrefix(id, operation(kind)+documentKey)
			id = strings.TrimSuffix(id, "00")
			return t.with(invalidate, uuid, id), true
		}
		return t.with(invalidate, uuid, operation(kind)+documentKey+id+"00"), true
	case "drop":
		if version == 1 {
			return t.with(invalidate, uuid, ""), true
		}
		return t.with(invalidate, uuid, operation(kind)+"00"), true
	case "dropDatabase":
		if version == 1 {
			return t.with(invalidate, "", ""), true
		}
		return t.with(invalidate, "14", operation(kind)+"00"), true
	case "rename":
		if version == 1 {
			return t.with(invalidate, uuid, ""), true
		}
		return t.with(invalidate, uuid, operation(kind)+renaming(e)+"00"), true
	}
	return t, true // the others have the same identifier in both
}

// renaming is the operationDescription of a rename in the eventIdentifier.
func renaming(e bson.Raw) string {
	field := func(kind, name, value string) string { return kind + hexString(name) + "00" + value }
	text := func(name string) string { return field("3C", name, "3C"+hexString(str(e, "to", name))+"00") }
	description := field("46", "to", "46"+text("db")+text("coll")+"00")
	if _, target, ok := e.Lookup("operationDescription", "dropTarget").BinaryOK(); ok {
		description += field("5A", "dropTarget", "5A1004"+hexString(string(target)))
	}
	return field("46", "operationDescription", "46"+description+"00")
}

// with returns the token with another tail.
func (t token) with(invalidate, uuid, id string) token {
	t.rest = invalidate + uuid + id + "04"
	return t
}

// crudBits returns the type bits of the event's token in another version, which
// has one bit more or less before those of the documentKey: that of the
// operationType. Three numbers come before it.
func crudBits(bits []byte, version int, e bson.Raw) []byte {
	if len(bits) == 0 {
		return nil
	}
	if bits[0] >= 0x80 {
		bits = bits[1:]
	}
	var le [8]byte
	copy(le[:], bits)
	n, v := 6+version-1, binary.LittleEndian.Uint64(le[:])
	if version == 1 {
		v >>= 1
	} else {
		v <<= 1
	}
	values, err := e.Lookup("documentKey").Document().Values()
	if err != nil {
		panic(err)
	}
	for _, x := range values {
		switch x.Type { //nolint:exhaustive // others are no keys here
		case bson.TypeString:
			n++
		case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
			n += 2
		}
	}
	binary.LittleEndian.PutUint64(le[:], v)
	bytes := (n + 7) / 8
	if bytes == 1 && le[0] < 0x80 {
		return le[:1]
	}
	return append([]byte{0x80 | byte(bytes)}, le[:bytes]...)
}

// invalidated is the token of the invalidate event after the event of t.
func (t token) invalidated() token {
	t.rest = "6F" + t.rest[2:]
	return t
}

// compare orders tokens of one version.
func compare(a, b bson.Raw) int { return strings.Compare(str(a, "_data"), str(b, "_data")) }

func id(e bson.Raw) bson.Raw { return e.Lookup("_id").Document() }
