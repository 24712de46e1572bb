//go:build linux

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/gateway/demo"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// configVariable in the environment makes the test program a gateway that can
// be killed.
const configVariable = "TRUNKCAST_TEST_GATEWAY"

func init() {
	file := os.Getenv(configVariable)
	if file == "" {
		return
	}
	if err := runProcess(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runProcess(file string) error {
	cfg, err := gateway.LoadConfig(file)
	if err != nil {
		return err
	}
	return gateway.Run(context.Background(), cfg, gateway.Options{
		OnReady: func(*gateway.Gateway) { fmt.Println("gateway ready") },
		Logger:  slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
}

// process is a gateway as a process of its own, with a trunk "pbx" on a port.
type process struct {
	*peertest.Process
	addr netip.AddrPort
}

// startProcess runs a gateway that records calls and publishes them, with
// Opus, below url. more are lines of its gateway.yml. The journal goes on from
// one process to the next in the same folder.
func startProcess(t testing.TB, folder, url, more string) *process {
	t.Helper()
	port := peertest.Port(t)
	dir := t.TempDir()
	trunks := fmt.Sprintf("trunks:\n pbx:\n  localPort: %d\n  listenAddress: 127.0.0.1\n  proxyIp: 127.0.0.1\n  register: false\n"+
		"  url: %s\n  audio: opus\n  record: true\n", port, url)
	config := fmt.Sprintf("trunks: trunks.yml\nrtmpListen: off\nhttpListen: off\nrecordFolder: %s\nrecordJournal: %s\nrecordTemplate: \"{number}\"\n%s",
		folder, filepath.Join(folder, ".jobs"), more)
	for name, text := range map[string]string{"trunks.yml": trunks, "gateway.yml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), configVariable+"="+filepath.Join(dir, "gateway.yml"))
	p := &process{peertest.StartCmd(t, cmd), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))}
	p.prints(t, "gateway ready", 1)
	return p
}

// prints waits until the gateway has printed a text so often.
func (p *process) prints(t testing.TB, text string, times int) {
	t.Helper()
	peertest.Eventually(t, 60*time.Second, fmt.Sprintf("%q %d times", text, times), func() bool {
		return strings.Count(p.Output(), text) >= times
	})
}

// call has the demo clip call a number until hangup.
func (p *process) call(t testing.TB, number string) (hangup func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	c := &demo.Caller{To: p.addr, Number: number}
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("caller: %v", err)
		}
	})
	hangup = func() { cancel(); wg.Wait() }
	t.Cleanup(hangup)
	return hangup
}

// audience is an RTMP server that keeps what is published.
type audience struct {
	server *rtmp.Server
	url    string
	t      testing.TB

	mu     sync.Mutex
	frames map[string][]*media.Frame
	wg     sync.WaitGroup
}

func startAudience(t testing.TB) *audience {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &audience{server: &rtmp.Server{}, url: "rtmp://" + l.Addr().String() + "/live", t: t, frames: map[string][]*media.Frame{}}
	a.wg.Go(func() { _ = a.server.Serve(context.Background(), l) })
	t.Cleanup(func() {
		_ = a.server.Close()
		a.wg.Wait()
	})
	return a
}

// keep keeps all frames of a stream that is, or is going to be, published.
func (a *audience) keep(name string) {
	a.t.Helper()
	var source *rtmp.StreamSource
	peertest.Eventually(a.t, 30*time.Second, "stream "+name, func() (ok bool) {
		var err error
		source, err = a.server.Source("live/" + name)
		return err == nil
	})
	a.wg.Go(func() {
		for {
			f, err := source.ReadFrame(context.Background())
			if err != nil {
				if n := source.Dropped(); n > 0 || !errors.Is(err, io.EOF) && !errors.Is(err, media.ErrClosed) {
					a.t.Errorf("%s: %v, %d frames lost on the way", name, err, n)
				}
				return
			}
			a.mu.Lock()
			a.frames[name] = append(a.frames[name], f)
			a.mu.Unlock()
		}
	})
}

// of returns what was kept so far of one kind of media.
func (a *audience) of(name string, video bool) []*media.Frame {
	a.mu.Lock()
	defer a.mu.Unlock()
	return kind(a.frames[name], video)
}

func kind(all []*media.Frame, video bool) (list []*media.Frame) {
	for _, f := range all {
		if f.Track.Codec.Video() == video {
			list = append(list, f)
		}
	}
	return list
}
