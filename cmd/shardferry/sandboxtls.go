package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
)

func tlsFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tls-cert", Usage: "serve with TLS: PEM `FILE` of the certificate, for the --host"},
		&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` of its key"},
		&cli.StringFlag{Name: "tls-ca", Usage: "PEM `FILE` of the authorities whose clients may log in with their certificates"},
	}
}

// tlsConfig reads the files of the flags; nil without any.
func tlsConfig(c *cli.Context) (*tls.Config, error) {
	cert, key, ca := c.String("tls-cert"), c.String("tls-key"), c.String("tls-ca")
	if cert == "" && key == "" && ca == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, usage("TLS needs both --tls-cert and --tls-key")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, usage("--tls-cert, --tls-key: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if ca == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, usage("--tls-ca: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, usage("--tls-ca: %w", fmt.Errorf("no certificate in %s", ca))
	}
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	return cfg, nil
}
