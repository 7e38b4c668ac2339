package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := template(name)
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	a := &authority{key: key, file: filepath.Join(t.TempDir(), name+".pem")}
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// issue writes a certificate and its key.
func (a *authority) issue(t *testing.T, name string, into api.CertificateFiles) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template(name), a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	writePEM(t, into.Cert, "CERTIFICATE", der)
	b, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	writePEM(t, into.Key, "EC PRIVATE KEY", b)
}

func pair(t *testing.T) api.CertificateFiles {
	t.Helper()
	dir := t.TempDir()
	return api.CertificateFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
}

// run serves on a port until the test ends.
func run(t *testing.T, cfg api.Config) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- api.NewServer(cfg).Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
	return l.Addr().String()
}

func (a *authority) client(t *testing.T, addr string, own api.CertificateFiles) *api.Client {
	t.Helper()
	own.CA = a.file
	cfg, err := own.ClientConfig()
	require.NoError(t, err)
	return api.NewClient(addr).With(api.Access{TLS: cfg})
}

func TestTLS(t *testing.T) {
	home, other := newAuthority(t, "home"), newAuthority(t, "other")
	files := pair(t)
	home.issue(t, "node", files)
	certs, err := api.OpenCertificates(files, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	addr := run(t, api.Config{Controller: &fixed{}, Certificates: certs})
	require.NoError(t, home.client(t, addr, api.CertificateFiles{}).Command(t.Context(), "pause"))
	err = other.client(t, addr, api.CertificateFiles{}).Command(t.Context(), "pause")
	require.ErrorContains(t, err, "certificate")
	require.NotErrorIs(t, err, shardferry.ErrOutcomeUnknown, "nothing was sent")
	require.Error(t, api.NewClient(addr).Command(t.Context(), "pause"), "plain HTTP")

	_, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.ErrorContains(t, err, "protocol version")
}

// With --api-client-ca only those come in whom one of the authorities knows.
func TestClientsShowTheirCertificates(t *testing.T) {
	home, staff, other := newAuthority(t, "home"), newAuthority(t, "staff"), newAuthority(t, "other")
	files, alice, mallory := pair(t), pair(t), pair(t)
	home.issue(t, "node", files)
	staff.issue(t, "alice", alice)
	other.issue(t, "mallory", mallory)
	files.CA = staff.file
	certs, err := api.OpenCertificates(files, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctl := &fixed{}
	addr := run(t, api.Config{Controller: ctl, Certificates: certs})
	require.NoError(t, home.client(t, addr, alice).Command(t.Context(), "pause"))
	for _, own := range []api.CertificateFiles{{}, mallory} {
		require.Error(t, home.client(t, addr, own).Command(t.Context(), "commit"))
	}
	assert.Equal(t, []string{"pause"}, ctl.calls)
}

func TestCertificatesAreReadAgain(t *testing.T) {
	home, next := newAuthority(t, "home"), newAuthority(t, "next")
	files := pair(t)
	home.issue(t, "node", files)
	log := &journal{}
	certs, err := api.OpenCertificates(files, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	addr := run(t, api.Config{Controller: &fixed{}, Certificates: certs})
	works := func(a *authority) bool {
		_, err := a.client(t, addr, api.CertificateFiles{}).Progress(t.Context()) // a connection of its own
		return err == nil
	}
	require.True(t, works(home))
	key, err := os.ReadFile(files.Key)
	require.NoError(t, err)
	next.issue(t, "node", files)
	assert.True(t, works(next))
	assert.False(t, works(home))

	good, err := os.ReadFile(files.Key)
	require.NoError(t, err)
	for _, broken := range []string{"", string(key), "-----BEGIN"} { // the key of another certificate
		require.NoError(t, os.WriteFile(files.Key, []byte(broken), 0o600))
		assert.True(t, works(next))
	}
	assert.Equal(t, 3, strings.Count(log.String(), "the old one counts"))
	require.NoError(t, os.WriteFile(files.Key, good, 0o600))
	assert.True(t, works(next))
}

func TestBrokenCertificatesAreRefused(t *testing.T) {
	home, files := newAuthority(t, "home"), pair(t)
	home.issue(t, "node", files)
	for _, f := range []api.CertificateFiles{
		{Cert: files.Cert},
		{Key: files.Key},
		{Cert: files.Key, Key: files.Cert},
		{Cert: "none", Key: files.Key},
		{Cert: files.Cert, Key: files.Key, CA: files.Key},
		{Cert: files.Cert, Key: files.Key, CA: "none"},
	} {
		_, err := api.OpenCertificates(f, slog.New(slog.DiscardHandler))
		require.Error(t, err, "%+v", f)
	}
	_, err := api.CertificateFiles{Cert: files.Cert}.ClientConfig()
	require.Error(t, err)
}
