package mongotest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// An authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{t: t, key: key, pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	return a
}

// issue returns a certificate for a subject and hosts.
func (a *authority) issue(subject pkix.Name, hosts ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: subject, DNSNames: hosts,
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// With TLS a client needs it too, and may log in with its certificate.
func TestTLS(t *testing.T) {
	const subject = "CN=joe,OU=people,O=shardferry"
	for name, shards := range map[string]int{"replica set": 0, "sharded": 1} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			server := ca.issue(pkix.Name{CommonName: "server"}, "*.cluster.sim")
			o := mongotest.Options{
				Shards: shards, RequireAuth: true,
				Users: []mongotest.User{{Name: subject, DB: "$external", Roles: []mongotest.Role{{Role: "readWrite", DB: "app"}}}},
				TLS:   &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ca.pool, ClientAuth: tls.VerifyClientCertIfGiven},
			}
			bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
				as := func(common string, certs ...tls.Certificate) *options.ClientOptions {
					o := options.Client().SetTLSConfig(&tls.Config{RootCAs: ca.pool, Certificates: certs})
					if common != "" {
						o.SetAuth(options.Credential{AuthMechanism: "MONGODB-X509"})
					}
					return o.SetServerSelectionTimeout(5 * time.Second)
				}
				person := func(cn string) tls.Certificate {
					return ca.issue(pkix.Name{CommonName: cn, OrganizationalUnit: []string{"people"}, Organization: []string{"shardferry"}})
				}
				joe, done := connect(t, c, as("joe", person("joe")))
				defer done()
				_, err := joe.Database("app").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
				require.NoError(t, err)
				_, err = joe.Database("other").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
				assertCode(t, 13, err)

				eve, done := connect(t, c, as("eve", person("eve")))
				defer done()
				require.ErrorContains(t, eve.Ping(t.Context(), nil), "Authentication failed")
				stranger, done := connect(t, c, as("joe", newAuthority(t).issue(pkix.Name{CommonName: "joe"})))
				defer done()
				require.Error(t, stranger.Ping(t.Context(), nil))
				anon, done := connect(t, c, as(""))
				defer done()
				require.NoError(t, anon.Ping(t.Context(), nil))
				plain, done := connect(t, c, options.Client().SetTLSConfig(nil).SetServerSelectionTimeout(5*time.Second))
				defer done()
				require.Error(t, plain.Ping(t.Context(), nil))
				assert.Contains(t, c.URI(), "tls=true")
			})
		})
	}
}
