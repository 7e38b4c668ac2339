package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

// selfSigned writes a certificate that is its own authority, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	require.NoError(t, err)
	b, err := x509.MarshalECPrivateKey(k)
	require.NoError(t, err)
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: b}} {
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	}
	return cert, key
}

// TestCommandsWithTokensOverTLS steers a sync that listens for every machine.
func TestCommandsWithTokensOverTLS(t *testing.T) {
	t.Parallel()
	m := newMove(t, 300)
	cert, key := selfSigned(t)
	dir := t.TempDir()
	tokens := "tokens:\n"
	for name, role := range map[string]string{"vera": "viewer", "otto": "operator"} {
		made := launch(t, nil, "token", "new", "--role", role, "--name", name, "--expires", "720h")
		require.Equal(t, 0, made.wait())
		said := made.lines()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(said[0]+"\n"), 0o600))
		tokens += said[len(said)-1] + "\n" // the line for the file
	}
	path := filepath.Join(dir, "tokens.yaml")
	require.NoError(t, os.WriteFile(path, []byte(tokens), 0o600))

	_, port, err := net.SplitHostPort(m.addr)
	require.NoError(t, err)
	p := m.sync(t, "--api-addr", "0.0.0.0:"+port, "--tokens-file", path, "--api-tls-cert", cert, "--api-tls-key", key)
	as := func(code int, who string, args ...string) *process {
		t.Helper()
		return m.command(t, code, append(args, "--api-ca", cert, "--token-file", filepath.Join(dir, who))...)
	}
	until(t, "a commit to be possible", func() bool {
		require.False(t, p.ended(), p.complaints())
		shown := launch(t, nil, "progress", "--json", "--api-addr", m.addr, "--api-ca", cert, "--token-file", filepath.Join(dir, "vera"))
		return shown.wait() == 0 && strings.Contains(shown.lines()[0], `"canCommit":true`)
	})
	refused(t, m.command(t, exitFailed, "progress", "--api-ca", cert), exitFailed, "there is no token", "--token-file")
	refused(t, as(exitFailed, "vera", "pause"), exitFailed, "operator", "vera", "viewer")
	as(0, "otto", "pause", "--idempotency-key", "k1")
	as(0, "otto", "resume")
	as(0, "otto", "pause", "--idempotency-key", "k1") // not again
	refused(t, as(exitFailed, "otto", "commit", "--idempotency-key", "k1"), exitFailed, "KeyReused")
	refused(t, as(exitFailed, "otto", "resume"), exitFailed, "RUNNING")

	var told []string
	for _, line := range as(0, "vera", "audit", "--json").lines() {
		var e api.AuditEntry
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		told = append(told, strings.TrimSpace(e.By+" "+e.Command+" "+e.Error))
		assert.NotEmpty(t, e.From)
	}
	assert.Equal(t, []string{"start", "otto pause", "otto resume", "otto resume InvalidState"}, told)
	assert.Len(t, as(0, "vera", "audit", "--since", "1h").lines(), 4)
	assert.Empty(t, as(0, "vera", "audit", "--since", time.Now().Add(time.Hour).Format(time.RFC3339)).lines())

	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(tokens, "name: otto", "name: other", 1)), 0o600))
	as(0, "otto", "pause", "--idempotency-key", "k1") // the key is another's now
	require.NoError(t, os.WriteFile(path, []byte("tokens:\n"+strings.Split(tokens, "\n")[1]+"\n"), 0o600))
	both := []string{"vera", "otto"}
	good := 0
	for _, who := range both {
		shown := launch(t, nil, "progress", "--api-addr", m.addr, "--api-ca", cert, "--token-file", filepath.Join(dir, who))
		if shown.wait() == 0 {
			good++
		}
	}
	assert.Equal(t, 1, good, "who was taken out is out")
	p.terminate()
	assert.Equal(t, 0, p.wait())
	assert.Contains(t, p.complaints(), "needs the role operator")
}

// Whoever follows the progress is not thrown out for asking often.
func TestFollowWaitsWhenItAsksTooOften(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch asked.Add(1) {
		case 1, 3:
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"success":false,"error":"TooMany","errorDescription":"too many requests"}`)
		case 2:
			_, _ = io.WriteString(w, `{"success":true,"progress":{"state":"RUNNING"}}`)
		default:
			cancel()
		}
	}))
	defer srv.Close()
	var said bytes.Buffer
	app := newApp()
	app.Writer = &said
	require.NoError(t, app.RunContext(ctx, []string{"shardferry", "progress", "--follow", "--interval", "1ms", "--api-addr", srv.URL}))
	assert.Equal(t, 1, strings.Count(said.String(), "RUNNING"))

	asked.Store(0)
	err := app.RunContext(t.Context(), []string{"shardferry", "progress", "--api-addr", srv.URL})
	require.ErrorIs(t, err, api.ErrTooMany, "without --follow it is an answer")
}
