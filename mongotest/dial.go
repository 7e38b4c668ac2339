package mongotest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// URI returns the connection string of the cluster: its routers, or its
// replica set. It names no user and, with TLS, no certificate authority. Its host names are known to the Dialer, and
// are TCP addresses if Options.Listen was given.
func (c *Cluster) URI() string {
	if len(c.routers) == 0 {
		return c.uri(c.shards[0].hosts(), "replicaSet="+c.shards[0].id)
	}
	addrs := make([]string, len(c.routers))
	for i, r := range c.routers {
		addrs[i] = r.addr
	}
	return c.uri(strings.Join(addrs, ","))
}

// ShardURI returns the connection string of one shard's replica set, or of the
// config server's for the id "config".
func (c *Cluster) ShardURI(id string) (string, error) {
	s, err := c.set(id)
	if err != nil {
		return "", err
	}
	return c.uri(s.hosts(), "replicaSet="+s.id), nil
}

// uri makes a connection string of hosts and parameters.
func (c *Cluster) uri(hosts string, params ...string) string {
	if c.opts.TLS != nil {
		params = append(params, "tls=true")
	}
	uri := "mongodb://" + hosts + "/"
	if len(params) > 0 {
		uri += "?" + strings.Join(params, "&")
	}
	return uri
}

// clientHeartbeat is how often a client asks a server how it is. The driver (v2.10.0,
// topology.Subscribe) can miss what a server has said between looking at what is
// known and waiting for news, and then waits for the next heartbeat.
const clientHeartbeat = 2 * time.Second

// ClientOptions returns options for a driver's client of the cluster, in
// memory. Logging in is left to SetAuth.
func (c *Cluster) ClientOptions() *options.ClientOptions {
	return options.Client().ApplyURI(c.URI()).SetDialer(c.Dialer()).SetHeartbeatInterval(clientHeartbeat)
}

// Dialer returns a dialer that reaches every process of the cluster in memory,
// by the names in URI, in hello and in config.shards, and nothing else.
func (c *Cluster) Dialer() options.ContextDialer { return dialer{c} }

type dialer struct{ c *Cluster }

// DialContext connects to a process of the cluster. It waits for Run.
func (d dialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	c, address := d.c, strings.ToLower(address)
	if _, ok := c.servers[address]; !ok {
		return nil, fmt.Errorf("mongotest: dial %s: no such host in cluster %s", address, c.opts.Name)
	}
	if err := c.net.dial(ctx, address); err != nil {
		return nil, err
	}
	// What a driver does at once after it has begun to connect comes before the
	// first answer: in a bubble time passes only when nobody has anything to do.
	if err := wait(ctx, dialTime); err != nil {
		return nil, fmt.Errorf("mongotest: dial %s: %w", address, err)
	}
	client, server := net.Pipe()
	in := connection{addr: address, conn: pipeConn{server, pipeAddr("client"), pipeAddr(address)}}
	if err := c.hand(ctx, in); err != nil {
		_ = server.Close() // nobody has seen it
		return nil, err
	}
	return pipeConn{client, pipeAddr(address), pipeAddr("client")}, nil
}

// dialTime is how long it takes to connect. Without it the driver's lost news (see
// clientHeartbeat) would be met now and then.
const dialTime = time.Microsecond

// hand gives a connection to Run. It is open when hand returns: whoever closes
// connections from then on closes it too.
func (c *Cluster) hand(ctx context.Context, in connection) (err error) {
	c.net.add(in)
	defer func() {
		if err != nil {
			c.net.remove(in)
		}
	}()
	select {
	case c.accepted <- in:
		return nil
	case <-c.stopped:
		return fmt.Errorf("dial %s: %w", in.addr, ErrNotRunning)
	case <-ctx.Done():
		return fmt.Errorf("mongotest: dial %s: %w", in.addr, context.Cause(ctx))
	}
}

// pipeConn is an in-memory connection with addresses.
type pipeConn struct {
	net.Conn
	remote, local pipeAddr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.remote }
func (c pipeConn) LocalAddr() net.Addr  { return c.local }

// pipeAddr is an address of the in-memory network.
type pipeAddr string

func (pipeAddr) Network() string  { return "mongotest" }
func (a pipeAddr) String() string { return string(a) }
