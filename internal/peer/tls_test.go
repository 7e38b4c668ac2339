package peer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/internal/peer"
	"github.com/shardferry/shardferry/internal/peer/virtual"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t, cert, key}
}

// write makes the files of a host in dir.
func (a *authority) write(dir, host string, until time.Duration) *peer.Files {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(until),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	f := &peer.Files{Certificate: filepath.Join(dir, host+".crt"), Key: filepath.Join(dir, host+".key"), CA: filepath.Join(dir, host+".ca")}
	for _, b := range []struct {
		path, kind string
		der        []byte
	}{{f.Certificate, "CERTIFICATE", der}, {f.Key, "PRIVATE KEY", keyDER}, {f.CA, "CERTIFICATE", a.cert.Raw}} {
		require.NoError(a.t, os.WriteFile(b.path, pem.EncodeToMemory(&pem.Block{Type: b.kind, Bytes: b.der}), 0o600))
	}
	return f
}

// Both ends must hold a certificate of the same authority, for the right host.
func TestBothSidesProveWhoTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, dir := virtual.New(time.Millisecond), t.TempDir()
		ours, others := newAuthority(t), newAuthority(t)
		with := func(f *peer.Files) func(*peer.Config) {
			return func(c *peer.Config) { c.TLS, c.Insecure = f, false }
		}
		a, b := open(t, net, "a", with(ours.write(dir, "a", time.Hour))), open(t, net, "b", with(ours.write(dir, "b", time.Hour)))
		stranger := open(t, net, "c", with(others.write(dir, "c", time.Hour)))
		plain := open(t, net, "d", nil)
		theirs := others.write(dir, "f", time.Hour)
		theirs.CA = ours.write(dir, "a", time.Hour).CA
		spy := open(t, net, "f", with(theirs)) // it believes us, and has no certificate that we believe
		liar := open(t, net, "e", with(ours.write(dir, "x", time.Hour)))
		for _, p := range []*peer.Port{a, b, stranger, plain, spy, liar} {
			run(t, p)
		}
		reply, err := a.Call(t.Context(), "b:1", "echo", []byte("hello"))
		require.NoError(t, err)
		assert.Equal(t, "b hello", string(reply))
		for _, tt := range []struct {
			from *peer.Port
			to   string
		}{{stranger, "a:1"}, {plain, "a:1"}, {spy, "a:1"}, {a, "c:1"}, {a, "d:1"}, {a, "e:1"}} {
			_, err := tt.from.Call(t.Context(), tt.to, "echo", nil)
			require.Error(t, err, "to %s", tt.to)
		}
	})
}

// Certificates are renewed while a node runs. Files that are not whole yet change
// nothing.
func TestCertificatesAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, dir := virtual.New(time.Millisecond), t.TempDir()
		ca := newAuthority(t)
		files := map[string]*peer.Files{}
		var ports []*peer.Port
		for _, host := range []string{"a", "b"} {
			files[host] = ca.write(dir, host, time.Hour)
			p := open(t, net, host, func(c *peer.Config) { c.TLS = files[host] })
			run(t, p)
			ports = append(ports, p)
		}
		ask := func() error {
			net.Kill("b") // so that it is a new connection
			_, err := ports[0].Call(t.Context(), "b:1", "echo", nil)
			return err
		}
		require.NoError(t, ask())
		time.Sleep(2 * time.Hour)
		require.ErrorContains(t, ask(), "expired")

		for _, host := range []string{"a", "b"} {
			ca.write(dir, host, 24*time.Hour)
		}
		time.Sleep(2 * time.Second)
		require.NoError(t, ask())

		require.NoError(t, os.WriteFile(files["b"].Key, []byte("half"), 0o600))
		time.Sleep(2 * time.Second)
		require.NoError(t, ask(), "the key is being written")
	})
}

func TestFilesAreNeededTogether(t *testing.T) {
	f := newAuthority(t).write(t.TempDir(), "a", time.Hour)
	for _, broken := range []peer.Files{{Certificate: f.Certificate, Key: f.Key}, {CA: f.CA}, {Certificate: f.Key, Key: f.Key, CA: f.CA}, {Certificate: f.Certificate, Key: f.Key, CA: f.Key}} {
		_, err := peer.New(peer.Config{Listen: "a:1", TLS: &broken})
		require.ErrorIs(t, err, peer.ErrFiles)
	}
}
