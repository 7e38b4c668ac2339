package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// greetLimit bounds how long either side waits for the other to prove who it is
// and to say what a connection is for.
const greetLimit = time.Second

// The first byte of a connection.
const (
	forRaft     byte = 'R'
	forRequests byte = 'Q'
)

// Config holds what a Port needs.
type Config struct {
	Listen    string  // host:port
	Advertise string  // how other nodes reach it; default Listen
	Network   Network // default TCP
	TLS       *Files  // nil: anybody who reaches the port is believed
	Insecure  bool    // nil TLS is allowed beyond this machine
	Logger    *slog.Logger
}

// ErrInsecure reports a port that anybody in the network could use.
var ErrInsecure = errors.New("without certificates a node listens on loopback addresses only: give it a certificate, a key and a CA, or say that the network can be trusted")

// A Port is where a node meets the others.
type Port struct {
	cfg  Config
	keys *keys
	mux  *http.ServeMux
	http *http.Client

	raft     *queue
	requests *queue

	mu      sync.Mutex
	open    map[net.Conn]struct{} // in both directions
	dialing map[*dialing]struct{}
	dials   sync.WaitGroup // counts dialing, until closed
	closed  bool
}

// dialing is a connection that is being made. Requests that gave up leave it
// behind (net/http: it may serve the next one).
type dialing struct{ cancel context.CancelFunc }

// New returns a Port that does not listen yet. Call Run once.
func New(cfg Config) (*Port, error) {
	if cfg.Advertise == "" {
		cfg.Advertise = cfg.Listen
	}
	for _, addr := range []string{cfg.Listen, cfg.Advertise} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("address for other nodes: %w", err)
		}
	}
	if host, port, _ := net.SplitHostPort(cfg.Advertise); host == "" || port == "0" || net.ParseIP(host).IsUnspecified() {
		return nil, fmt.Errorf("address for other nodes: they cannot reach %q: advertise a host and a port", cfg.Advertise)
	}
	if cfg.Network == nil {
		cfg.Network = TCP{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.TLS == nil && !cfg.Insecure && (!loopback(cfg.Listen) || !loopback(cfg.Advertise)) {
		return nil, fmt.Errorf("%s, advertised as %s: %w", cfg.Listen, cfg.Advertise, ErrInsecure)
	}
	p := &Port{cfg: cfg, mux: http.NewServeMux(), open: map[net.Conn]struct{}{}, dialing: map[*dialing]struct{}{}}
	if cfg.TLS != nil {
		var err error
		if p.keys, err = loadKeys(*cfg.TLS, cfg.Logger); err != nil {
			return nil, err
		}
	}
	p.raft, p.requests = newQueue(p), newQueue(p)
	p.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			conn, err := p.dial(ctx, addr, forRequests)
			if err != nil {
				return nil, &neverSentError{err}
			}
			return conn, nil
		},
		MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}}
	return p, nil
}

// Run listens until ctx ends. It returns when every connection is closed and
// everything it started has ended.
func (p *Port) Run(ctx context.Context) error {
	l, err := p.cfg.Network.Listen(ctx, p.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for other nodes on %s: %w", p.cfg.Listen, err)
	}
	srv := &http.Server{
		Handler: p.mux, ReadHeaderTimeout: greetLimit,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    slog.NewLogLogger(p.cfg.Logger.Handler(), slog.LevelDebug),
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.accept(gctx, g, l) })
	g.Go(func() error {
		if err := srv.Serve(p.requests); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("requests of other nodes: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		err := errors.Join(l.Close(), srv.Close())
		p.close()
		return errors.Join(context.Cause(gctx), err)
	})
	err = g.Wait()
	p.dials.Wait()
	p.http.CloseIdleConnections()
	return err
}

func (p *Port) accept(ctx context.Context, g *errgroup.Group, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return context.Cause(ctx)
		}
		if err != nil {
			// Out of file descriptors, for example. It passes.
			p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a connection of another node was not taken", slog.Any("error", err))
			pause := time.NewTimer(100 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
			continue
		}
		g.Go(func() error {
			p.greet(ctx, p.hold(conn))
			return nil
		})
	}
}

// greet finds out who called and what for.
func (p *Port) greet(ctx context.Context, raw net.Conn) {
	refused := func(err error) {
		p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a connection to the port for other nodes was refused",
			slog.String("from", raw.RemoteAddr().String()), slog.Any("error", err))
		_ = raw.Close()
	}
	if err := raw.SetDeadline(time.Now().Add(greetLimit)); err != nil {
		refused(err)
		return
	}
	conn, err := p.keys.server(ctx, raw)
	if err != nil {
		refused(err)
		return
	}
	var kind [1]byte
	if _, err := conn.Read(kind[:]); err != nil {
		refused(err)
		return
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		refused(err)
		return
	}
	switch kind[0] {
	case forRaft:
		p.raft.put(ctx, conn)
	case forRequests:
		p.requests.put(ctx, conn)
	default:
		refused(fmt.Errorf("it begins with %q: that is no shardferry node", kind[0]))
	}
}

// dial reaches another node.
func (p *Port) dial(ctx context.Context, addr string, kind byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	done, err := p.begin(cancel)
	if err != nil {
		return nil, err
	}
	defer done()
	raw, err := p.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	raw = p.hold(raw)
	fail := func(err error) (net.Conn, error) {
		return nil, errors.Join(fmt.Errorf("%s: %w", addr, err), raw.Close())
	}
	if err := raw.SetDeadline(time.Now().Add(greetLimit)); err != nil {
		return fail(err)
	}
	conn, err := p.keys.client(ctx, raw, addr)
	if err != nil {
		return fail(err)
	}
	if _, err := conn.Write([]byte{kind}); err != nil {
		return fail(err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	return conn, nil
}

// begin notes a connection that is being made, so that it ends with the port.
func (p *Port) begin(cancel context.CancelFunc) (done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	d := &dialing{cancel: cancel}
	p.dialing[d] = struct{}{}
	p.dials.Add(1)
	return func() {
		p.mu.Lock()
		delete(p.dialing, d)
		p.mu.Unlock()
		p.dials.Done()
	}, nil
}

// held is a connection that the port closes if nobody else does.
type held struct {
	net.Conn
	port *Port
}

func (h *held) Close() error {
	h.port.mu.Lock()
	delete(h.port.open, h.Conn)
	h.port.mu.Unlock()
	return h.Conn.Close()
}

func (p *Port) hold(conn net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close() // whoever uses it sees that
	} else {
		p.open[conn] = struct{}{}
	}
	return &held{Conn: conn, port: p}
}

// close ends all connections, and those that come later.
func (p *Port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for d := range p.dialing {
		d.cancel()
	}
	for conn := range p.open {
		_ = conn.Close()
	}
	clear(p.open)
}
