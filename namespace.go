package shardferry

import (
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ShardID is the _id of a document in config.shards. The only shard of a plain
// replica set is called by the set's name.
type ShardID string

// Namespace is a database and a collection or view in it.
type Namespace struct {
	DB   string `bson:"db" json:"db"`
	Coll string `bson:"coll" json:"coll"`
}

// ParseNamespace splits "db.collection" at its first dot.
func ParseNamespace(s string) (Namespace, error) {
	db, coll, ok := strings.Cut(s, ".")
	if !ok || db == "" || coll == "" {
		return Namespace{}, fmt.Errorf("%q is not a namespace: want database.collection", s)
	}
	return Namespace{DB: db, Coll: coll}, nil
}

func (n Namespace) String() string { return n.DB + "." + n.Coll }

// IsZero reports whether n names nothing.
func (n Namespace) IsZero() bool { return n == Namespace{} }

// Internal reports whether n belongs to the server and is never synced: the
// databases admin, config and local, and every system collection.
func (n Namespace) Internal() bool {
	switch n.DB {
	case "admin", "config", "local":
		return true
	}
	return strings.HasPrefix(n.Coll, "system.")
}

// UUID identifies one incarnation of a collection: it survives a rename, and a
// collection that is dropped and created again has another. The zero value
// means none; views have none.
type UUID [16]byte

// ParseUUID reads a BSON binary of subtype 4.
func ParseUUID(v bson.RawValue) (UUID, bool) {
	sub, data, ok := v.BinaryOK()
	if !ok || sub != 4 || len(data) != len(UUID{}) {
		return UUID{}, false
	}
	return UUID(data), true
}

// IsZero reports whether u means none.
func (u UUID) IsZero() bool { return u == UUID{} }

// Binary returns u as the server expects it in a command.
func (u UUID) Binary() bson.Binary { return bson.Binary{Subtype: 4, Data: u[:]} }

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MarshalBSONValue implements bson.ValueMarshaler.
func (u UUID) MarshalBSONValue() (byte, []byte, error) {
	t, data, err := bson.MarshalValue(u.Binary())
	return byte(t), data, err
}

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (u *UUID) UnmarshalBSONValue(t byte, data []byte) error {
	got, ok := ParseUUID(bson.RawValue{Type: bson.Type(t), Value: data})
	if !ok {
		return fmt.Errorf("a BSON %s is not a UUID", bson.Type(t))
	}
	*u = got
	return nil
}
