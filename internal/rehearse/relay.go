package rehearse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A relay stands between a port and those who call it, and can cut all of their
// connections at once, as a switch does that fails.
type relay struct {
	at, to string

	mu    sync.Mutex
	links map[net.Conn]struct{} // both ends of each connection
}

func newRelay(at, to string) *relay {
	return &relay{at: at, to: to, links: map[net.Conn]struct{}{}}
}

// Run listens and relays until ctx ends.
func (r *relay) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.at)
	if err != nil {
		return fmt.Errorf("relay %s: %w", r.at, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-gctx.Done()
		err := l.Close()
		r.drop()
		return errors.Join(context.Cause(gctx), err)
	})
	g.Go(func() error {
		for {
			in, err := l.Accept()
			if err != nil && gctx.Err() != nil {
				return context.Cause(gctx)
			}
			if err != nil {
				return fmt.Errorf("relay %s: %w", r.at, err)
			}
			g.Go(func() error {
				r.carry(gctx, in)
				return nil
			})
		}
	})
	return g.Wait()
}

// carry passes on what comes from either end until one of them closes. A port that
// nobody listens at is a connection that ends at once.
func (r *relay) carry(ctx context.Context, in net.Conn) {
	defer r.hold(in)()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.to)
	if err != nil {
		return
	}
	defer r.hold(out)()
	if ctx.Err() != nil { // the last drop may be over
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // an end that is gone is what ends it
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
}

// hold keeps a connection where drop finds it. The returned function closes it.
func (r *relay) hold(c net.Conn) (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[c] = struct{}{}
	return func() {
		_ = c.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.links, c)
	}
}

// drop cuts all connections.
func (r *relay) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.links {
		_ = c.Close()
	}
}
