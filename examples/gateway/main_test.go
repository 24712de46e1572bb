//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway/demo"
	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// asProgram in the environment makes the test binary the program itself.
const asProgram = "TRUNKCAST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the gateway as a process of its own.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    output
	exited chan struct{}
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(os.Args[0], args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // its code is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("gateway %s:\n%s", strings.Join(args, " "), p.out.String())
		}
	})
	return p
}

// end waits for the end of the program and returns its exit code.
func (p *program) end() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		p.t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in 20 s: %s", what)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEndsAtOnce: what makes the program end by itself, and what it says.
func TestEndsAtOnce(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	const trunks = "trunks:\n pbx:\n  localPort: 40000\n  proxyIp: 127.0.0.1\n  url: rtmp://127.0.0.1/live\n"
	unknown := write(t, "unknown.yml", trunks+"  localport: 1\n")
	missing := write(t, "missing.yml", "trunks:\n pbx:\n  localPort: 40000\n")
	wrong := write(t, "wrong.yml", strings.Replace(trunks, "40000", "none", 1))
	config := write(t, "gateway.yml", "rtmpListen: off\nmaxCalls: -1\n")
	for name, c := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"version":      {[]string{"-version"}, 0, []string{"trunkcast gateway "}},
		"help":         {[]string{"-help"}, 0, []string{"-trunks", "-demo", "-rtmp"}},
		"unknown flag": {[]string{"-nothing"}, 1, []string{"-nothing"}},
		"leftover":     {[]string{"sip_trunk.yml"}, 1, []string{"sip_trunk.yml", "-trunks"}},
		"SIP form":     {[]string{"-sip", "40001"}, 1, []string{"-sip", "40001", "127.0.0.1:40000"}},
		"RTMP form":    {[]string{"-rtmp", "1935"}, 1, []string{"-rtmp", "1935", "127.0.0.1:1935"}},
		"SIP and trunks": {
			[]string{"-sip", "127.0.0.1:0", "-trunks", write(t, "sip_trunk.yml", trunks)}, 1, []string{"-sip", "localPort"},
		},
		"nowhere": {[]string{"-rtmp", "off"}, 1, []string{"rtmpListen", "-rtmp"}},
		"stream name": {
			[]string{"-trunks", write(t, "named.yml", trunks+"  streamName: '{nope}'\n"), "-http", "off"}, 1, []string{"named.yml:6", "streamName", "{nope}"},
		},
		"level": {[]string{"-log", "loud"}, 1, []string{"-log", "loud"}},
		"RTMP port": {
			[]string{"-sip", "127.0.0.1:0", "-rtmp", tcp.Addr().String()}, 1, []string{"RTMP server", tcp.Addr().String(), "-rtmp", "rtmpListen"},
		},
		"SIP port": {
			[]string{"-sip", udp.LocalAddr().String(), "-rtmp", "127.0.0.1:0"}, 1, []string{"trunk default", udp.LocalAddr().String(), "-sip", "sipListen"},
		},
		"no file":     {[]string{"-trunks", "nowhere.yml"}, 1, []string{"nowhere.yml"}},
		"unknown key": {[]string{"-trunks", unknown}, 1, []string{"unknown.yml:6", "localport"}},
		"missing key": {[]string{"-trunks", missing}, 1, []string{"missing.yml:", "proxyIp"}},
		"wrong value": {[]string{"-trunks", wrong}, 1, []string{"wrong.yml:3", "localPort", "none"}},
		"config":      {[]string{"-config", config}, 1, []string{"gateway.yml:2", "maxCalls"}},
		"demo with trunks": {
			[]string{"-demo", "-trunks", write(t, "sip_trunk.yml", trunks)}, 1, []string{"demo"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c.args...)
			if code := p.end(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, text := range c.says {
				if !strings.Contains(p.out.String(), text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if lines := strings.Count(p.out.String(), "\n"); c.code != 0 && lines > 2 {
				t.Errorf("%d lines for one error", lines)
			}
		})
	}
}

// freePort is a port that nobody uses now, for UDP and TCP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port")
	return 0
}

// rtmpServer runs a server for the program to publish to.
func rtmpServer(t *testing.T) (s *rtmp.Server, url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &rtmp.Server{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return s, "rtmp://" + l.Addr().String() + "/live"
}

// TestInterrupt runs a trunk that registers and publishes, and ends it by the
// signal of Ctrl-C, and by that of a service manager, in the middle of a call.
func TestInterrupt(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			pbx := trunktest.NewPeer(t, "udp")
			server, url := rtmpServer(t)
			port := freePort(t)
			file := write(t, "sip_trunk.yml", fmt.Sprintf("trunks:\n pbx:\n  localPort: %d\n  listenAddress: 127.0.0.1\n"+
				"  proxyIp: 127.0.0.1\n  remotePort: %d\n  login: trunk\n  url: %s\n", port, pbx.Addr().Port(), url))
			p := start(t, "-trunks", file, "-rtmp", "off")
			register := pbx.Request("REGISTER")
			bound := "Contact: " + register.Header("Contact") + ";expires=3600\r\n"
			pbx.Response(register, 200, "registrar", bound, "")

			addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
			leg := pbx.Establish(addr, "100")
			call(t, addr, "200")
			eventually(t, "stream published", func() bool {
				return slices.ContainsFunc(server.List(), func(s rtmp.StreamInfo) bool { return s.Name == "live/rtmp_200" })
			})

			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			sent := time.Now()
			pbx.Response(leg.Await("BYE"), 200, "", "", "")
			register = pbx.Request("REGISTER")
			if register.Header("Expires") != "0" && !strings.HasSuffix(register.Header("Contact"), "expires=0") {
				t.Errorf("REGISTER with Contact %q, Expires %q", register.Header("Contact"), register.Header("Expires"))
			}
			pbx.Response(register, 200, "registrar", "", "")
			if code := p.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(sent); took > 5*time.Second {
				t.Errorf("the end took %v", took)
			}
			if list := server.List(); len(list) != 0 {
				t.Errorf("streams left: %v", list)
			}
			for _, text := range []string{"trunk pbx", "state=registered", "registration removed", "state=closed"} {
				if !strings.Contains(p.out.String(), text) {
					t.Errorf("it does not say %q", text)
				}
			}
		})
	}
}

// TestTrunkFileWarning goes to the log that was asked for, once.
func TestTrunkFileWarning(t *testing.T) {
	file := write(t, "sip_trunk.yml", fmt.Sprintf("trunks:\n pbx:\n  localPort: %d\n  listenAddress: 127.0.0.1\n  proxyIp: 127.0.0.1\n"+
		"  register: false\n  url: rtmp://127.0.0.1:1/live\n  sdpParams: ['b=RS:50']\n", freePort(t)))
	config := write(t, "gateway.yml", "logFormat: json\nhttpListen: off\ntrunks: "+file+"\n")
	for level, want := range map[string]int{"warn": 1, "error": 0} {
		p := start(t, "-config", config, "-log", level)
		eventually(t, "start", func() bool { return strings.Contains(p.out.String(), "trunk pbx: SIP on") })
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.end(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		found := 0
		for line := range strings.Lines(p.out.String()) {
			if strings.Contains(line, "b=RS:50") {
				found++
				if !strings.HasPrefix(line, "{") || !strings.Contains(line, "sip_trunk.yml:8") {
					t.Errorf("the warning: %s", line)
				}
			}
		}
		if found != want {
			t.Errorf("-log %s: %d warnings", level, found)
		}
	}
}

// TestSecondInterrupt: who has no time for an orderly end need not wait for it.
func TestSecondInterrupt(t *testing.T) {
	pbx := trunktest.NewPeer(t, "udp")
	file := write(t, "sip_trunk.yml", fmt.Sprintf("trunks:\n pbx:\n  localPort: %d\n  listenAddress: 127.0.0.1\n"+
		"  proxyIp: 127.0.0.1\n  remotePort: %d\n  login: trunk\n  url: rtmp://127.0.0.1:1/live\n", freePort(t), pbx.Addr().Port()))
	config := write(t, "gateway.yml", "shutdownTimeout: 1h\ntrunks: "+file+"\nhttpListen: off\n")
	p := start(t, "-config", config)
	register := pbx.Request("REGISTER")
	pbx.Response(register, 200, "registrar", "Contact: "+register.Header("Contact")+";expires=3600\r\n", "")
	eventually(t, "registration", func() bool { return strings.Contains(p.out.String(), "state=registered") })
	_ = p.cmd.Process.Signal(os.Interrupt)
	pbx.Request("REGISTER") // its removal, which nobody confirms
	eventually(t, "end", func() bool {
		_ = p.cmd.Process.Signal(os.Interrupt)
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Errorf("it ended by itself: %v", p.cmd.ProcessState)
	}
}

// call places a call with sound and picture until the test ends.
func call(t *testing.T, to netip.AddrPort, number string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = (&demo.Caller{To: to, Number: number, CallTime: time.Hour}).Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}
