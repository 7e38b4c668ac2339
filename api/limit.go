package api

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// DefaultRate is how many requests a second one client may make, for longer
	// than a moment.
	DefaultRate = 100

	maxClients = 4096 // that are told apart; those beyond share one allowance
	sweepEvery = time.Second
)

// A limiter counts requests of clients: of a token wherever it comes from, or of
// an address.
type limiter struct {
	each  rate.Limit // negative: no limit
	burst int

	mu      sync.Mutex
	clients map[string]*allowance
	swept   time.Time
}

// An allowance is what one client has left.
type allowance struct {
	*rate.Limiter

	spent bool // the last request was refused
}

func newLimiter(each float64) *limiter {
	if each == 0 {
		each = DefaultRate
	}
	return &limiter{each: rate.Limit(each), burst: max(1, int(2*each)), clients: map[string]*allowance{}}
}

// take reports for how long a client must wait, 0 if its request is allowed.
// first is set if the request before was allowed.
func (l *limiter) take(client string, now time.Time) (wait time.Duration, first bool) {
	if l.each < 0 {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.clients[client]
	if !ok {
		a = l.admit(client, now)
	}
	if a.AllowN(now, 1) {
		a.spent = false
		return 0, false
	}
	first, a.spent = !a.spent, true
	return time.Duration((1 - a.TokensAt(now)) / float64(l.each) * float64(time.Second)), first
}

// admit makes a place for a client that is new. The caller holds mu.
func (l *limiter) admit(client string, now time.Time) *allowance {
	if len(l.clients) >= maxClients && now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for name, a := range l.clients { // who has all of it left is like a new one
			if a.TokensAt(now) >= float64(l.burst) {
				delete(l.clients, name)
			}
		}
	}
	if len(l.clients) >= maxClients {
		client = ""
	}
	a := l.clients[client]
	if a == nil {
		a = &allowance{Limiter: rate.NewLimiter(l.each, l.burst)}
		l.clients[client] = a
	}
	return a
}

// network returns whose address it is. Who has one address of IPv6 has 2^64.
func network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// Loopback reports whether only this machine reaches an address, as host:port.
// A name that is not localhost may be anywhere.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
