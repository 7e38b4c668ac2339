package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
)

// CertificateFiles are PEM files with which a server or a client shows who it is,
// and by which it knows the other side.
type CertificateFiles struct {
	Cert string // of ourselves
	Key  string // of Cert
	CA   string // of the authorities that the other side must be known to
}

// IsZero reports whether no file is given.
func (f CertificateFiles) IsZero() bool { return f == CertificateFiles{} }

// Certificates are those of files, which are looked at with every connection.
type Certificates struct{ files fromFiles[*tls.Config] }

// OpenCertificates reads the certificate of a server and, if clients must have
// one too, the authorities of theirs.
func OpenCertificates(f CertificateFiles, log *slog.Logger) (*Certificates, error) {
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("a certificate and its key are needed")
	}
	c := &Certificates{files: fromFiles[*tls.Config]{
		load: func(read func(string) ([]byte, error)) (*tls.Config, error) {
			cfg, err := f.load(read)
			if err == nil && cfg.RootCAs != nil {
				cfg.ClientCAs, cfg.RootCAs, cfg.ClientAuth = cfg.RootCAs, nil, tls.RequireAndVerifyClientCert
			}
			return cfg, err
		},
		told: reloaded(log, "certificates"),
	}}
	return c, c.files.open()
}

// config is for a listener. Each connection begins with the files as they are.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.files.get(), nil },
	}
}

// ClientConfig reads the files of a client. Without any it trusts the
// authorities of the system.
func (f CertificateFiles) ClientConfig() (*tls.Config, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a certificate and its key are needed, or neither")
	}
	return f.load(readFile)
}

func (f CertificateFiles) load(read func(string) ([]byte, error)) (*tls.Config, error) {
	// HTTP/1.1 only: nothing here needs streams inside a connection.
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if f.Cert != "" {
		cert, err := read(f.Cert)
		if err != nil {
			return nil, err
		}
		key, err := read(f.Key)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", f.Cert, f.Key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if f.CA != "" {
		pem, err := read(f.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: there is no certificate in it", f.CA)
		}
	}
	return cfg, nil
}
