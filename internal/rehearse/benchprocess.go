package rehearse

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// A process is a child that runs one command of this program and prints JSON
// lines.
type process struct {
	cmd   *exec.Cmd
	began time.Time
	lines *bufio.Scanner
	errs  bytes.Buffer // what it wrote to standard error
	ended errgroup.Group
}

// stopLimit is how long a child may take for an orderly end.
const stopLimit = 10 * time.Second

// start runs this program with args. The child is told to end when ctx ends.
func (b *Bench) start(ctx context.Context, args ...string) (*process, error) {
	return startProcess(ctx, b.Program, b.Env, args...)
}

// startProcess runs a program with args, and env besides the own one. The child is
// told to end when ctx ends.
func startProcess(ctx context.Context, program, env []string, args ...string) (*process, error) {
	argv := slices.Concat(program, args)
	p := &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), began: time.Now()}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.errs
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopLimit
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	p.lines = bufio.NewScanner(out)
	p.lines.Buffer(nil, 1<<20)
	return p, nil
}

// next reads one JSON line into v.
func (p *process) next(v any) error {
	if !p.lines.Scan() {
		if err := p.lines.Err(); err != nil {
			return fmt.Errorf("read the output of %s: %w", p, err)
		}
		return fmt.Errorf("%s ended early: %s: %w", p, p.complaint(), io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(p.lines.Bytes(), v); err != nil {
		return fmt.Errorf("%s printed %q: %w", p, p.lines.Bytes(), err)
	}
	return nil
}

// discard reads what else the child prints, so that it never waits for us.
func (p *process) discard() {
	p.ended.Go(func() error {
		for p.lines.Scan() {
			continue
		}
		return p.lines.Err()
	})
}

func (p *process) complaint() string {
	if p.cmd.ProcessState == nil { // it ended by itself; nobody writes to errs after this
		_ = p.cmd.Wait()
	}
	return strings.TrimSpace(p.errs.String())
}

// stop asks the child to end and waits for it. It may be repeated.
func (p *process) stop() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p, err)
	}
	_ = p.ended.Wait() // a pipe that breaks at the end is no concern
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p, err, p.errs.String())
	}
	return nil
}

// kill ends the child as a crash does (SIGKILL), and waits until it is gone. It may
// be started again after that.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p, err)
	}
	_ = p.ended.Wait() // a pipe that breaks at the end is no concern
	_ = p.cmd.Wait()   // it tells that it was killed
	return nil
}

// pause lets the child stand still as it is (SIGSTOP), until it is continued.
func (p *process) pause() error { return p.signal(syscall.SIGSTOP) }

func (p *process) resume() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p, err)
	}
	return nil
}

func (p *process) String() string {
	return strings.Join(p.cmd.Args[1:min(2, len(p.cmd.Args))], " ")
}

// life returns what the whole process took. Only after stop. The peak is that
// since the last meter began.
func (p *process) life() BenchProcess {
	out := BenchProcess{
		Seconds: time.Since(p.began).Seconds(),
		CPU:     (p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()).Seconds(),
	}
	if r, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		out.Peak = r.Maxrss
		if runtime.GOOS != "darwin" { // there it is in bytes
			out.Peak <<= 10
		}
	}
	return out
}

// A meter measures what the child takes between two moments.
type meter struct {
	p   *process
	cpu float64
	ok  bool
}

// meter begins a measurement, and forgets the peak of memory so far. Where the
// system does not tell, nothing is measured.
func (p *process) meter() meter {
	// Linux: writing 5 resets the peak of the resident set (proc(5)).
	reset := os.WriteFile(p.proc("clear_refs"), []byte("5"), 0)
	cpu, err := p.cpu()
	return meter{p: p, cpu: cpu, ok: reset == nil && err == nil}
}

func (m meter) read() BenchCost {
	cpu, err := m.p.cpu()
	peak, perr := m.p.peak()
	if !m.ok || err != nil || perr != nil {
		return BenchCost{}
	}
	cpu -= m.cpu
	return BenchCost{CPU: &cpu, Peak: &peak}
}

func (p *process) proc(file string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file)
}

// ticksPerSecond is the unit of CPU time in /proc, which Linux fixes for user
// space.
const ticksPerSecond = 100

func (p *process) cpu() (float64, error) {
	b, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; user and system time are fields
	// 14 and 15.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: too few fields", p.proc("stat"))
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond, err
}

func (p *process) peak() (int64, error) {
	b, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("%s: no VmHWM", p.proc("status"))
}

// freePorts finds n ports in a row that nobody listens on. Somebody else may
// take them before they are used.
func freePorts(ctx context.Context, n int) (first int, err error) {
	for range 50 {
		if first, err = portsInRow(ctx, n); err == nil {
			return first, nil
		}
	}
	return 0, fmt.Errorf("find %d free ports: %w", n, err)
}

func portsInRow(ctx context.Context, n int) (first int, err error) {
	var open []net.Listener
	defer func() {
		for _, l := range open {
			err = errors.Join(err, l.Close())
		}
	}()
	for i := range n {
		addr := "127.0.0.1:0"
		if i > 0 {
			addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(first+i))
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return 0, err
		}
		open = append(open, l)
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && i == 0 {
			first = tcp.Port
		}
	}
	return first, nil
}
