package mongoconn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// Config says how to reach a cluster.
type Config struct {
	URI     string
	AppName string                // shown in the server's logs; default "shardferry"
	Dialer  options.ContextDialer // nil: TCP
	MaxPool uint64                // connections per server; default 100
	Select  time.Duration         // how long to look for a usable server; default 30 s
}

// heartbeat is how often a server is asked how it is, unless the URI says it. The
// driver can miss the news of a server between looking at what is known and
// waiting for more (v2.10.0, topology.Subscribe); it then waits for the next
// heartbeat, which by default would be in 10 s.
const heartbeat = 2 * time.Second

// Connect returns a client for the cluster. It checks the URI but does not wait
// for a server: use Ping. The client reads from primaries and writes with
// majority; it never compresses unless the URI says so.
func Connect(cfg Config) (*mongo.Client, error) {
	opts, err := cfg.clientOptions()
	if err != nil {
		return nil, err
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", Redact(cfg.URI), withoutSecret(cfg.URI, err))
	}
	return client, nil
}

func (cfg Config) clientOptions() (*options.ClientOptions, error) {
	if err := CheckURI(cfg.URI); err != nil {
		return nil, err
	}
	if cfg.AppName == "" {
		cfg.AppName = "shardferry"
	}
	opts := options.Client().ApplyURI(cfg.URI).
		SetAppName(cfg.AppName).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(writeconcern.Majority())
	if opts.HeartbeatInterval == nil {
		opts.SetHeartbeatInterval(heartbeat)
	}
	if cfg.Dialer != nil {
		opts.SetDialer(cfg.Dialer)
	}
	if cfg.MaxPool > 0 {
		opts.SetMaxPoolSize(cfg.MaxPool)
	}
	if cfg.Select > 0 {
		opts.SetServerSelectionTimeout(cfg.Select)
	}
	return opts, nil
}

// Ping waits until the cluster answers, at most for d.
func Ping(ctx context.Context, client *mongo.Client, d time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("no answer within %v", d))
	defer cancel()
	return client.Ping(ctx, readpref.Primary())
}

// CheckURI reports what is wrong with a connection string, without ever
// repeating the password in it.
func CheckURI(uri string) error {
	switch {
	case uri == "":
		return errors.New("the URI is empty: want mongodb://host:port or mongodb+srv://host")
	case !strings.HasPrefix(uri, "mongodb://") && !strings.HasPrefix(uri, "mongodb+srv://"):
		return fmt.Errorf("%q is not a MongoDB URI: it must begin with mongodb:// or mongodb+srv://", Redact(uri))
	}
	if err := options.Client().ApplyURI(uri).Validate(); err != nil {
		return fmt.Errorf("%s: %w", Redact(uri), withoutSecret(uri, err))
	}
	return nil
}

// Redact returns the URI without its password and without the values of its
// options, which may hold secrets too. It is safe to log whatever uri is.
func Redact(uri string) string {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return "(not a URI)"
	}
	rest, _, _ = strings.Cut(rest, "?")
	// The password may hold any character, so the last @ ends the credentials.
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, _ := strings.Cut(rest[:at], ":")
		rest = user + ":***@" + rest[at+1:]
	}
	return scheme + "://" + rest
}

// Hosts returns the host list of a URI, for showing where a cluster is.
func Hosts(uri string) string {
	_, rest, _ := strings.Cut(Redact(uri), "://")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	hosts, _, _ := strings.Cut(rest, "/")
	return hosts
}

// withoutSecret returns err, or an error that only names its kind if its text
// would repeat the password of uri.
func withoutSecret(uri string, err error) error {
	_, rest, _ := strings.Cut(uri, "://")
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return err
	}
	_, password, ok := strings.Cut(rest[:at], ":")
	if !ok || password == "" {
		return err
	}
	plain, uerr := url.PathUnescape(password)
	if strings.Contains(err.Error(), password) || (uerr == nil && strings.Contains(err.Error(), plain)) {
		return errors.New("the URI cannot be parsed; its details are withheld because they contain the password (escape special characters as %XX)")
	}
	return err
}
