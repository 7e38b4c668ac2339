package main

import (
	"crypto/rand"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/api"
)

// apiSettings say where a node listens for commands, and whom it obeys.
type apiSettings struct {
	APIAddr     string  `yaml:"apiAddr"`
	TokensFile  string  `yaml:"tokensFile"`
	APITLSCert  string  `yaml:"apiTLSCert"`
	APITLSKey   string  `yaml:"apiTLSKey"`
	APIClientCA string  `yaml:"apiClientCA"`
	APIRate     float64 `yaml:"apiRate"`
	Insecure    bool    `yaml:"insecure"`
}

// apiFlags are the flags of a node that serves the API.
func apiFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api-addr", Usage: "where to listen for commands", Value: api.DefaultAddr, EnvVars: []string{"SHARDFERRY_API_ADDR"}},
		&cli.StringFlag{Name: "tokens-file", Usage: "YAML `FILE` of the tokens that may give commands (see shardferry token new); it may be changed while this runs", EnvVars: []string{"SHARDFERRY_TOKENS_FILE"}},
		&cli.StringFlag{Name: "api-tls-cert", Usage: "serve the API with TLS: PEM `FILE` of the certificate; it may be changed while this runs"},
		&cli.StringFlag{Name: "api-tls-key", Usage: "PEM `FILE` of its key"},
		&cli.StringFlag{Name: "api-client-ca", Usage: "PEM `FILE` of the authorities of clients: those without a certificate are refused"},
		&cli.Float64Flag{Name: "api-rate", Usage: "requests a second that one client may make; negative: any number", Value: api.DefaultRate, EnvVars: []string{"SHARDFERRY_API_RATE"}},
		&cli.BoolFlag{Name: "insecure", Usage: "listen on other addresses than the loopback interface without tokens or without TLS"},
	}
}

func (a *apiSettings) take(c *cli.Context) {
	take(c, "api-addr", c.String, &a.APIAddr)
	take(c, "tokens-file", c.String, &a.TokensFile)
	take(c, "api-tls-cert", c.String, &a.APITLSCert)
	take(c, "api-tls-key", c.String, &a.APITLSKey)
	take(c, "api-client-ca", c.String, &a.APIClientCA)
	take(c, "api-rate", c.Float64, &a.APIRate)
	take(c, "insecure", c.Bool, &a.Insecure)
}

func (a *apiSettings) validate() error {
	switch {
	case (a.APITLSCert == "") != (a.APITLSKey == ""):
		return usage("TLS needs both --api-tls-cert and --api-tls-key")
	case a.APIClientCA != "" && a.APITLSCert == "":
		return usage("--api-client-ca: TLS needs --api-tls-cert and --api-tls-key too")
	case api.Loopback(a.APIAddr) || a.Insecure:
		return nil
	}
	var missing []string
	if a.TokensFile == "" {
		missing = append(missing, "tokens (--tokens-file)")
	}
	if a.APITLSCert == "" {
		missing = append(missing, "TLS (--api-tls-cert, --api-tls-key)")
	}
	if len(missing) > 0 {
		return usage("--api-addr %s: other machines reach it, and there are no %s: whoever is on the network could commit or listen. Give them, or --insecure", a.APIAddr, strings.Join(missing, " and no "))
	}
	return nil
}

// server makes the server of a node's API. It reads files, so that what is wrong
// with them is said before anything has begun.
func (a *apiSettings) server(ctl api.Controller, cluster api.ClusterController, log *slog.Logger) (*api.Server, error) {
	cfg := api.Config{Controller: ctl, Cluster: cluster, LoopbackOnly: api.Loopback(a.APIAddr) && a.TokensFile == "" && !a.Insecure, Rate: a.APIRate, Logger: log}
	var err error
	if a.TokensFile != "" {
		if cfg.Tokens, err = api.OpenTokens(a.TokensFile, log); err != nil {
			return nil, usage("--tokens-file: %w", err)
		}
	}
	if a.APITLSCert != "" {
		files := api.CertificateFiles{Cert: a.APITLSCert, Key: a.APITLSKey, CA: a.APIClientCA}
		if cfg.Certificates, err = api.OpenCertificates(files, log); err != nil {
			return nil, usage("--api-tls-cert, --api-tls-key, --api-client-ca: %w", err)
		}
	}
	return api.NewServer(cfg), nil
}

// clientFlags are the flags of a command that asks a node.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "api-addr", Usage: "the node to talk to: host:port, or a URL", Value: api.DefaultAddr, EnvVars: []string{"SHARDFERRY_API_ADDR"}},
		&cli.StringFlag{Name: "token-file", Usage: "`FILE` of the token to show (or the variable SHARDFERRY_TOKEN)", EnvVars: []string{"SHARDFERRY_TOKEN_FILE"}},
		&cli.StringFlag{Name: "api-ca", Usage: "use TLS: PEM `FILE` of the authorities of the node", EnvVars: []string{"SHARDFERRY_API_CA"}},
		&cli.StringFlag{Name: "api-cert", Usage: "PEM `FILE` of the certificate to show", EnvVars: []string{"SHARDFERRY_API_CERT"}},
		&cli.StringFlag{Name: "api-key", Usage: "PEM `FILE` of its key", EnvVars: []string{"SHARDFERRY_API_KEY"}},
		&cli.BoolFlag{Name: "insecure", Usage: "send the token without TLS to another machine"},
		jsonFlag(),
	}, more...)
}

// keyFlag names a command, so that it is done once however often it is sent.
func keyFlag() cli.Flag {
	return &cli.StringFlag{Name: "idempotency-key", Usage: "a `NAME` for this command: sent again under the same name it is not done twice (default: a new one)"}
}

// client makes the client of a command.
func client(c *cli.Context) (*api.Client, error) {
	access := api.Access{InTheClear: c.Bool("insecure"), Key: c.String("idempotency-key")}
	if access.Key == "" {
		access.Key = rand.Text() // what is said if the outcome is unknown
	}
	var err error
	if access.Token, err = token(c); err != nil {
		return nil, err
	}
	files := api.CertificateFiles{Cert: c.String("api-cert"), Key: c.String("api-key"), CA: c.String("api-ca")}
	if !files.IsZero() {
		if access.TLS, err = files.ClientConfig(); err != nil {
			return nil, usage("--api-ca, --api-cert, --api-key: %w", err)
		}
	}
	return api.NewClient(c.String("api-addr")).With(access), nil
}

// token returns what to show; empty if nothing is to be shown. There is no flag
// for the token itself, because everyone who can list processes could read it.
func token(c *cli.Context) (string, error) {
	path := c.String("token-file")
	if path == "" {
		return strings.TrimSpace(os.Getenv("SHARDFERRY_TOKEN")), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usage("--token-file: %w", err)
	}
	t := strings.TrimSpace(string(b))
	if t == "" {
		return "", usage("--token-file %s: there is nothing in it", path)
	}
	return t, nil
}
