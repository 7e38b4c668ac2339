package value

import (
	"crypto/rand"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// UUID is a collection's UUID. The zero value means none.
type UUID [16]byte

// NewUUID returns a random UUID (version 4).
func NewUUID() UUID {
	var u UUID
	_, _ = rand.Read(u[:]) // never fails, by its contract
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ParseUUID reads a BSON binary of subtype 4.
func ParseUUID(v bson.RawValue) (UUID, bool) {
	sub, data, ok := v.BinaryOK()
	if !ok || sub != 4 || len(data) != 16 {
		return UUID{}, false
	}
	return UUID(data), true
}

// Binary returns the UUID as a BSON binary of subtype 4.
func (u UUID) Binary() bson.Binary { return bson.Binary{Subtype: 4, Data: u[:]} }

// IsZero reports whether u means none.
func (u UUID) IsZero() bool { return u == UUID{} }

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
