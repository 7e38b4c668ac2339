package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Files name what proves who a node is. All three are PEM.
type Files struct {
	Certificate string // also for this node as a client: both uses must be allowed
	Key         string
	CA          string // who may sign the certificates of other nodes
}

// ErrFiles reports certificates that cannot be used.
var ErrFiles = errors.New("the certificates for other nodes cannot be used")

// reloadEvery is how often the files are looked at, at most.
const reloadEvery = time.Second

// keys are the contents of the files. They are read again when the files have
// changed, so that certificates can be renewed while a node runs. Files that are
// not whole yet change nothing.
type keys struct {
	files Files
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  string
	now    *tls.Config
}

func loadKeys(f Files, log *slog.Logger) (*keys, error) {
	k := &keys{files: f, log: log}
	stamp, err := k.look()
	if err != nil {
		return nil, err
	}
	if k.now, err = k.read(); err != nil {
		return nil, err
	}
	k.stamp, k.looked = stamp, time.Now()
	return k, nil
}

// look says in a word which files there are.
func (k *keys) look() (string, error) {
	var stamp string
	for _, f := range []struct{ what, path string }{{"certificate", k.files.Certificate}, {"key", k.files.Key}, {"CA", k.files.CA}} {
		if f.path == "" {
			return "", fmt.Errorf("%w: no file for the %s: certificate, key and CA are needed together", ErrFiles, f.what)
		}
		info, err := os.Stat(f.path)
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrFiles, f.what, err)
		}
		stamp += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), ";")
	}
	return stamp, nil
}

func (k *keys) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(k.files.Certificate, k.files.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	pem, err := os.ReadFile(k.files.CA)
	if err != nil {
		return nil, fmt.Errorf("%w: CA: %w", ErrFiles, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: CA: no certificate in %s", ErrFiles, k.files.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}

// current returns what holds now.
func (k *keys) current(ctx context.Context) *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < reloadEvery {
		return k.now
	}
	k.looked = time.Now()
	stamp, err := k.look()
	if err == nil && stamp == k.stamp {
		return k.now
	}
	var fresh *tls.Config
	if err == nil {
		fresh, err = k.read()
	}
	if err != nil {
		k.log.LogAttrs(ctx, slog.LevelWarn, "the changed certificates are not used yet", slog.Any("error", err))
		return k.now
	}
	k.now, k.stamp = fresh, stamp
	return k.now
}

// server and client prove who is at the other end. Without keys they take it as
// it is.
func (k *keys) server(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if k == nil {
		return conn, nil
	}
	t := tls.Server(conn, k.current(ctx))
	return t, t.HandshakeContext(ctx)
}

func (k *keys) client(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	if k == nil {
		return conn, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	cfg := k.current(ctx).Clone()
	cfg.ServerName = host
	t := tls.Client(conn, cfg)
	return t, t.HandshakeContext(ctx)
}
