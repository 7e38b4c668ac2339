package access

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The mechanisms of a login.
const (
	SCRAM1   = "SCRAM-SHA-1"
	SCRAM256 = "SCRAM-SHA-256"
	X509     = "MONGODB-X509"
)

// Mechanisms returns the ones with a password, as they are listed everywhere.
func Mechanisms() []string { return []string{SCRAM1, SCRAM256} }

// scramIterations is the least that clients accept (RFC 7677); a server's
// default is higher, which here would only cost time.
const scramIterations = 4096

// Stored is what the server keeps in place of a password.
type Stored = scram.StoredCredentials

// Credentials prove who a user is: for each mechanism what the server keeps in
// place of the password, or nothing if a certificate does.
type Credentials struct {
	SCRAM    map[string]Stored
	External bool
}

// NewCredentials derives what is kept of a password. A digested one is what
// old clients send in its place, for SCRAM-SHA-1 only.
func NewCredentials(name, password string, digested bool, mechanisms []string) (Credentials, error) {
	c := Credentials{SCRAM: map[string]Stored{}}
	for _, m := range mechanisms {
		stored, err := derive(name, password, digested, m)
		if err != nil {
			return c, fmt.Errorf("user %s: %s: %w", name, m, err)
		}
		c.SCRAM[m] = stored
	}
	return c, nil
}

func derive(name, password string, digested bool, mechanism string) (Stored, error) {
	if mechanism == SCRAM256 {
		client, err := scram.SHA256.NewClient(name, password, "")
		if err != nil {
			return Stored{}, err
		}
		return client.GetStoredCredentialsWithError(newFactors(28))
	}
	if !digested { // MongoDB's SCRAM-SHA-1 hashes this digest in place of the password
		digest := md5.Sum([]byte(name + ":mongo:" + password))
		password = hex.EncodeToString(digest[:])
	}
	client, err := scram.SHA1.NewClientUnprepped(name, password, "")
	if err != nil {
		return Stored{}, err
	}
	return client.GetStoredCredentialsWithError(newFactors(16))
}

func newFactors(saltLen int) scram.KeyFactors {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails, by its contract
	return scram.KeyFactors{Salt: string(salt), Iters: scramIterations}
}

// Mechanisms returns those the user can log in with, in their usual order.
func (c Credentials) Mechanisms() []string {
	if c.External {
		return []string{"external"}
	}
	return slices.DeleteFunc(Mechanisms(), func(m string) bool {
		_, ok := c.SCRAM[m]
		return !ok
	})
}

// BSON returns the credentials as a stored user has them.
func (c Credentials) BSON() bson.Raw {
	if c.External {
		return value.D("external", true)
	}
	var pairs []any
	encode := base64.StdEncoding.EncodeToString
	for _, m := range c.Mechanisms() {
		s := c.SCRAM[m]
		pairs = append(pairs, m, value.D("iterationCount", s.Iters, "salt", encode([]byte(s.Salt)),
			"storedKey", encode(s.StoredKey), "serverKey", encode(s.ServerKey)))
	}
	return value.D(pairs...)
}

func parseCredentials(doc bson.Raw) Credentials {
	c := Credentials{SCRAM: map[string]Stored{}}
	c.External, _ = doc.Lookup("external").BooleanOK()
	decode := func(v bson.RawValue) []byte {
		s, _ := v.StringValueOK()
		b, _ := base64.StdEncoding.DecodeString(s) // what is no base64 lets nobody in
		return b
	}
	for _, m := range Mechanisms() {
		if d, ok := doc.Lookup(m).DocumentOK(); ok {
			n, _ := d.Lookup("iterationCount").AsInt64OK()
			c.SCRAM[m] = Stored{
				KeyFactors: scram.KeyFactors{Salt: string(decode(d.Lookup("salt"))), Iters: int(n)},
				StoredKey:  decode(d.Lookup("storedKey")),
				ServerKey:  decode(d.Lookup("serverKey")),
			}
		}
	}
	return c
}
