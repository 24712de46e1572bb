//go:build linux

// Package peertest starts the real programs that the tests with the build tag
// "peers" talk to: an RTMP server, a SIP proxy, softphones, players. Every
// program listens on loopback on a port the kernel chose, writes into the
// test's temporary folder, and is ended by its process id when the test ends.
//
// A program that is not installed fails the test: with the tag, a missing
// peer must not look like a pass.
package peertest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// packages tells which Debian package brings a program.
var packages = map[string]string{
	"baresip":   "baresip-core baresip-ffmpeg",
	"linphonec": "linphone-cli mediastreamer2-plugin-openh264 xvfb",
	"sipp":      "sip-tester",
	"kamailio":  "kamailio kamailio-tls-modules",
	"nginx":     "nginx libnginx-mod-rtmp",
	"ffmpeg":    "ffmpeg",
	"ffprobe":   "ffmpeg",
	"rtmpdump":  "rtmpdump",
	"cvlc":      "vlc-bin vlc-plugin-base",
	"stunnel4":  "stunnel4",
	"chromium":  "chromium",
}

// Look returns the path of an installed program, or fails the test naming the
// Debian package.
func Look(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		// Debian keeps servers in sbin, which is not in everybody's PATH.
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		t.Fatalf("peer %s is missing: apt-get install %s", program, packages[program])
	}
	return path
}

// Process is a running program.
type Process struct {
	Cmd *exec.Cmd

	out  output
	done chan struct{}
	err  error
}

// Start runs a program in the background. Its output is kept, and printed if
// the test fails. It is ended, with its children, when the test ends.
func Start(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	return StartCmd(t, exec.Command(Look(t, program), args...))
}

// StartCmd is [Start] for a command that needs more than arguments.
func StartCmd(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	// Cleanup does not run after a panic or a time-out of the test.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	cmd.WaitDelay = 2 * time.Second
	started := make(chan error)
	go func() {
		// The signal comes when the thread that started the program ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), tail(p.Output(), 6000))
		}
	})
	return p
}

// Stop ends the program and its children: asked first, killed after 3 s.
func (p *Process) Stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
	}
	p.Kill()
}

// Kill ends the program and its children at once.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *Process) signal(s syscall.Signal) {
	// The group outlives its leader when a child does; no group is no error.
	_ = syscall.Kill(-p.Cmd.Process.Pid, s)
}

// Output is what the program has printed so far, at most the last 1 MiB.
func (p *Process) Output() string { return p.out.String() }

// PID is the number of the process.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns when the program has ended, with its exit error, or after
// limit.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
		return errors.New("still running after " + limit.String())
	}
}

// output keeps the end of what a program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > 1<<20 {
		o.buf.Next(o.buf.Len() - 1<<19)
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// Run runs a program to its end, at most limit long, and returns what it
// printed.
func Run(t testing.TB, limit time.Duration, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Look(t, program), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Eventually calls ok every 50 ms until it returns true, and fails the test
// with what after limit.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		<-tick.C
	}
}

// startLimit is how long a program may take to start on a loaded machine.
const startLimit = 30 * time.Second

// mustRun fails the test if the program has ended.
func (p *Process) mustRun(t testing.TB) {
	t.Helper()
	select {
	case <-p.Done():
		t.Fatalf("%s ended: %v\n%s", p.Cmd.Path, p.err, tail(p.Output(), 6000))
	default:
	}
}

// waitListening returns when a TCP connection to addr succeeds.
func waitListening(t testing.TB, p *Process, addr string) {
	t.Helper()
	Eventually(t, startLimit, filepath.Base(p.Cmd.Path)+" listens on "+addr, func() bool {
		p.mustRun(t)
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// write puts a file into the folder and returns its path.
func write(t testing.TB, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// expand replaces ${NAME} in a configuration of a peer.
func expand(text string, pairs ...string) string {
	for i := range pairs {
		if i%2 == 0 {
			pairs[i] = "${" + pairs[i] + "}"
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
