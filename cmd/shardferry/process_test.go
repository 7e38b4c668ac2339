package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

// patience bounds every wait of these tests.
const patience = 5 * time.Minute

// A process is the program while it runs, and what it has said.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	code int           // its exit code, once done is closed; -1 if it was killed

	mu     sync.Mutex
	stdout []string
	stderr bytes.Buffer
}

// launch starts the program. It is killed at the end of the test if it still
// runs.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "SHARDFERRY_API_RATE=-1"), env...) // these tests ask all the time
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	complaints, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	var readers sync.WaitGroup
	readers.Go(func() { p.read(out, func(line string) { p.stdout = append(p.stdout, line) }) })
	readers.Go(func() { p.read(complaints, func(line string) { p.stderr.WriteString(line + "\n") }) })
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // the exit code says it
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) read(from io.Reader, take func(string)) {
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.mu.Lock()
			take(line)
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// kill ends the process as a power cut does, and waits until it is gone.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.done
}

// terminate asks the process to end and returns how long that took.
func (p *process) terminate() time.Duration {
	p.t.Helper()
	began := time.Now()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.wait()
	return time.Since(began)
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(p.t, "the process does not end", "%v\n%s\n%s", p.cmd.Args[1:], strings.Join(tail(p.lines()), "\n"), p.complaints())
	}
	return p.code
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.stdout...)
}

func (p *process) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func tail(lines []string) []string { return lines[max(0, len(lines)-10):] }

// event returns the first JSON line with that event, nil if there is none yet.
func (p *process) event(name string) map[string]any {
	for _, line := range p.lines() {
		var e map[string]any
		if json.Unmarshal([]byte(line), &e) == nil && e["event"] == name {
			return e
		}
	}
	return nil
}

// await waits for an event while the process runs.
func (p *process) await(name string) map[string]any {
	p.t.Helper()
	var e map[string]any
	until(p.t, "event "+name+" of "+p.cmd.Args[1], func() bool {
		over := p.ended()
		if e = p.event(name); e != nil {
			return true
		}
		require.False(p.t, over, "it ended without the event %s\n%s\n%s", name, strings.Join(tail(p.lines()), "\n"), p.complaints())
		return false
	})
	return e
}

// until polls a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			require.FailNow(t, "waited too long for "+what)
		case <-t.Context().Done():
			require.FailNow(t, "stopped while waiting for "+what)
		}
	}
}

// freePort returns the first of n neighbouring ports of the loopback interface
// that are free now.
func freePort(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first, open := listenAt(t, 0)
		for i := 1; i < n && open != nil; i++ {
			var l []net.Listener
			_, l = listenAt(t, first+i)
			if l == nil {
				closeAll(t, open)
				open = nil
				break
			}
			open = append(open, l...)
		}
		if open != nil {
			closeAll(t, open)
			return first
		}
	}
	require.FailNow(t, "there are no free ports")
	return 0
}

func listenAt(t *testing.T, port int) (int, []net.Listener) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String())
	if err != nil {
		return 0, nil
	}
	return l.Addr().(*net.TCPAddr).Port, []net.Listener{l}
}

func closeAll(t *testing.T, open []net.Listener) {
	t.Helper()
	for _, l := range open {
		require.NoError(t, l.Close())
	}
}

// progress asks a node where it stands; false if it does not answer.
func progress(ctx context.Context, addr string) (api.Progress, bool) {
	p, err := api.NewClient(addr).Progress(ctx)
	return p, err == nil
}
