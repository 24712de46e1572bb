//go:build peers && bench

package benchmark

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// The servers of ours run as processes of their own: this test program again,
// with one of these kinds in its environment.
const (
	serverVariable  = "TRUNKCAST_BENCHMARK_SERVER"
	profileVariable = "TRUNKCAST_BENCHMARK_PROFILE" // file for a CPU profile, if set

	trunkOnly  = "trunk"  // a trunk.Server whose answers are always the same
	withBridge = "bridge" // negotiation, RTP ports, session; nothing is published
)

const (
	setupWarmUp   = 200             // calls before anything is measured
	setupOneByOne = 1000            // calls for the latency, one after the other
	setupInFlight = 32              // calls at once for the rate
	setupWindow   = 3 * time.Second // of the rate
)

// setup is what was measured of one server in one round.
type setup struct {
	median, p99 time.Duration // from the INVITE to its 200, of calls one by one
	rate        float64       // calls a second: INVITE, 180, 200, ACK, BYE, 200
	cpu         float64       // ms of the server's CPU a call, at that rate
}

// TestBenchSetup sets calls up over UDP with each server in turn: SIPp's own uas
// scenario, a trunk.Server that does nothing but answer, and one with the Bridge of
// a gateway. The caller is the same raw socket for all.
func TestBenchSetup(t *testing.T) {
	names := []string{"SIPp uas", "trunk.Server", "with a Bridge"}
	kinds := []string{"", trunkOnly, withBridge}
	all := make([][]setup, len(names))
	for range rounds {
		for i, name := range names {
			ok := t.Run(name, func(t *testing.T) {
				at, pid := startAnswering(t, kinds[i], "")
				s := measureSetup(t, at, pid)
				t.Logf("%v median, %v at 99 %%, %.0f calls/s, %.2f ms CPU a call", s.median, s.p99, s.rate, s.cpu)
				all[i] = append(all[i], s)
			})
			if !ok {
				t.FailNow()
			}
		}
	}
	var shares [][]share
	for _, kind := range kinds[1:] {
		shares = append(shares, profileSetup(t, kind))
	}
	reportSetup(t, names, all, shares)
}

// startAnswering starts a server, and returns where it listens.
func startAnswering(t *testing.T, kind, profile string) (at netip.AddrPort, pid int) {
	t.Helper()
	port := peertest.Port(t)
	at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	if kind == "" {
		p := peertest.Start(t, "sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", strconv.Itoa(port), "-nostdin", "-max_socket", "1000")
		return at, p.PID()
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAnsweringServer$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", serverVariable, kind, port), profileVariable+"="+profile)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := peertest.StartCmd(t, cmd)
	t.Cleanup(func() { // before StartCmd's: it ends with its standard input
		_ = in.Close()
		if err := p.Wait(20 * time.Second); err != nil {
			t.Errorf("server: %v\n%s", err, p.Output())
		}
	})
	peertest.Eventually(t, 20*time.Second, "server ready", func() bool { return strings.Contains(p.Output(), "ready") })
	return at, p.PID()
}

// TestAnsweringServer is the server of startAnswering, in a process of its own.
func TestAnsweringServer(t *testing.T) {
	kind, port, _ := strings.Cut(os.Getenv(serverVariable), " ")
	if kind == "" {
		t.Skip("no server is asked for")
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if name := os.Getenv(profileVariable); name != "" {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			t.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	register := false
	cfg := trunk.Config{
		Name: "bench", ListenAddress: "127.0.0.1", LocalPort: n, ProxyIP: "127.0.0.1", Register: &register,
		MediaPorts: trunk.PortRange{First: 20000, Last: 59999}, // each rests for a while after its call
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		cancel()
	}()
	answer := trunk.HandlerFunc(func(ctx context.Context, c *trunk.Call) {
		if c.Ring(180, "") == nil && c.Answer(ctx, sameAnswer{}) == nil {
			<-ctx.Done()
		}
	})
	s := &trunk.Server{Trunks: []trunk.Config{cfg}, Handler: answer, Limits: trunk.Limits{CallsPerSec: 1_000_000}}
	if kind == withBridge {
		s.Handler = &trunkcast.Bridge{Codecs: gateway.Codecs()}
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	<-s.Done()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// sameAnswer answers as SIPp does.
type sameAnswer struct{}

const setupSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"

func (sameAnswer) Offer(context.Context) ([]byte, error)          { return []byte(setupSDP), nil }
func (sameAnswer) Answer(context.Context, []byte) ([]byte, error) { return []byte(setupSDP), nil }
func (sameAnswer) Accept(context.Context, []byte) error           { return nil }
func (sameAnswer) Rollback()                                      {}

// measureSetup calls one by one, then many at once.
func measureSetup(t *testing.T, at netip.AddrPort, pid int) setup {
	t.Helper()
	c := newSetupCaller(t, at)
	var took []time.Duration
	for i := range setupWarmUp + setupOneByOne {
		d, err := c.call()
		if err != nil {
			t.Fatal(err)
		}
		if i >= setupWarmUp {
			took = append(took, d)
		}
	}
	slices.Sort(took)
	s := setup{median: took[len(took)/2], p99: took[len(took)*99/100]}
	cpu, begun := cpuOf(t, []int{pid}), time.Now()
	n := callAtOnce(t, at)
	s.rate = float64(n) / time.Since(begun).Seconds()
	s.cpu = (cpuOf(t, []int{pid}) - cpu) * 1000 / float64(n)
	return s
}

// callAtOnce keeps setupInFlight calls going for the window, and counts them.
func callAtOnce(t *testing.T, at netip.AddrPort) (calls int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	end := time.Now().Add(setupWindow)
	for range setupInFlight {
		c := newSetupCaller(t, at)
		wg.Go(func() {
			n := 0
			for ; time.Now().Before(end); n++ {
				if _, err := c.call(); err != nil {
					t.Error(err)
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			calls += n
		})
	}
	wg.Wait()
	return calls
}

// setupCaller makes one call after the other from a socket of its own.
type setupCaller struct {
	conn *net.UDPConn // not connected: a server that does not listen yet is no error
	to   netip.AddrPort
	uri  string
	id   string
	n    int
	buf  [4096]byte
}

func newSetupCaller(t *testing.T, at netip.AddrPort) *setupCaller {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &setupCaller{conn: conn, to: at, uri: "sip:100@" + at.String(), id: conn.LocalAddr().String()}
}

// call makes a call and ends it, and tells the time from INVITE to 200.
func (c *setupCaller) call() (time.Duration, error) {
	c.n++
	begun := time.Now()
	if _, err := c.conn.WriteToUDPAddrPort(c.request("INVITE", 1, "", setupSDP), c.to); err != nil {
		return 0, err
	}
	to, err := c.answer("1 INVITE", c.request("INVITE", 1, "", setupSDP))
	took := time.Since(begun)
	if err != nil {
		return took, err
	}
	if _, err := c.conn.WriteToUDPAddrPort(c.request("ACK", 1, to, ""), c.to); err != nil {
		return took, err
	}
	bye := c.request("BYE", 2, to, "")
	if _, err := c.conn.WriteToUDPAddrPort(bye, c.to); err != nil {
		return took, err
	}
	_, err = c.answer("2 BYE", bye)
	return took, err
}

func (c *setupCaller) request(method string, seq int, to, body string) []byte {
	if to == "" {
		to = "<" + c.uri + ">"
	}
	kind := ""
	if body != "" {
		kind = "Content-Type: application/sdp\r\n"
	}
	return fmt.Appendf(nil, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d%s%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:bench@%s>;tag=%d\r\nTo: %s\r\nCall-ID: %d-%s\r\nCSeq: %d %s\r\nContact: <sip:bench@%s>\r\n%sContent-Length: %d\r\n\r\n%s",
		method, c.uri, c.id, c.n, method, seq, c.id, c.n, to, c.n, c.id, seq, method, c.id, kind, len(body), body)
}

// answer waits for the 200 and returns its To. A request that is lost is sent
// again after half a second.
func (c *setupCaller) answer(cseq string, again []byte) (to string, err error) {
	for tries := 0; tries < 10; {
		if err := c.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return "", err
		}
		n, err := c.conn.Read(c.buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			tries++
			_, _ = c.conn.WriteToUDPAddrPort(again, c.to)
			continue
		}
		if err != nil {
			return "", err
		}
		text := string(c.buf[:n])
		if !strings.Contains(text, fmt.Sprintf("\r\nCall-ID: %d-%s\r\n", c.n, c.id)) || !strings.Contains(text, "\r\nCSeq: "+cseq+"\r\n") {
			continue // of the call before
		}
		switch code := text[8:11]; {
		case code == "200":
			_, rest, _ := strings.Cut(text, "\r\nTo: ")
			to, _, _ := strings.Cut(rest, "\r\n")
			return to, nil
		case code >= "300":
			line, _, _ := strings.Cut(text, "\r\n")
			return "", fmt.Errorf("%s: %s", cseq, line)
		}
	}
	return "", fmt.Errorf("%s: no answer", cseq)
}

// share is a part of a server's CPU time.
type share struct {
	name    string
	percent float64
}

// profileSetup tells where a server of ours spends its time.
func profileSetup(t *testing.T, kind string) []share {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cpu")
	t.Run("profile of "+kind, func(t *testing.T) {
		at, _ := startAnswering(t, kind, file)
		callAtOnce(t, at)
	})
	out, errs, err := peertest.Run(t, time.Minute, "go", "tool", "pprof", "-top", "-nodecount=1000000", "-nodefraction=0", os.Args[0], file)
	if err != nil {
		t.Fatalf("pprof: %v\n%s", err, errs)
	}
	return sharesOf(string(out))
}

// sharesOf sums what pprof prints of each function: its own time.
func sharesOf(top string) []share {
	groups := []struct {
		name  string
		parts []string
	}{
		{"system calls", []string{"syscall.", "internal/runtime/syscall", "runtime.futex", "runtime.epoll", "runtime.usleep", "runtime.nanotime"}},
		{"garbage collector and allocation", []string{"runtime.mallocgc", "runtime.scan", "runtime.gc", "runtime.(*mspan)", "runtime.(*mcache)",
			"runtime.(*mheap)", "runtime.(*sweep", "runtime.bg", "runtime.grey", "runtime.heap", "runtime.(*gc", "runtime.memclr", "runtime.nextFree",
			"runtime.(*mcentral)", "runtime.(*pageAlloc)", "runtime.tryDefer", "runtime.spanOf", "runtime.findObject", "runtime.(*lfstack)", "runtime.growslice",
			"runtime.typePointers", "runtime.(*unwinder)", "runtime.pcvalue", "runtime.(*limiterEvent)"}},
		{"scheduler and the rest of the runtime", []string{"runtime.", "internal/runtime", "internal/abi"}},
		{"sipgo: messages and headers", []string{"github.com/emiago/sipgo"}},
		{"trunkcast", []string{"github.com/trunkcast/trunkcast"}},
		{"standard library", []string{""}},
	}
	list := make([]share, len(groups))
	for line := range strings.Lines(top) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasSuffix(f[1], "%") {
			continue
		}
		percent, err := strconv.ParseFloat(strings.TrimSuffix(f[1], "%"), 64)
		if err != nil {
			continue
		}
		for i, g := range groups {
			list[i].name = g.name
			if slices.ContainsFunc(g.parts, func(p string) bool { return strings.HasPrefix(f[5], p) }) {
				list[i].percent += percent
				break
			}
		}
	}
	return list
}

// reportSetup adds tables to docs/performance.md. The ratios are to SIPp,
// round by round.
func reportSetup(t *testing.T, names []string, all [][]setup, shares [][]share) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s, calls set up beside SIPp's uas, %s, %d cores\n\n", time.Now().UTC().Format("2006-01-02"), runtime.Version(), runtime.NumCPU())
	b.WriteString("INVITE to 200 of calls one by one over UDP on loopback; then " + strconv.Itoa(setupInFlight) +
		" calls at a time (INVITE, 180, 200, ACK, BYE, 200), the caller on the same cores.\n\n")
	b.WriteString("| | INVITE to 200, median (99 %) | of SIPp | calls/s | of SIPp | ms CPU a call | of SIPp |\n|---|---|---|---|---|---|---|\n")
	for i, name := range names {
		var med, p99, rate, cpu, medTo, rateTo, cpuTo []float64
		for r, s := range all[i] {
			to := all[0][r]
			med, p99 = append(med, s.median.Seconds()*1e6), append(p99, s.p99.Seconds()*1e6)
			rate, cpu = append(rate, s.rate), append(cpu, s.cpu)
			medTo = append(medTo, float64(s.median)/float64(to.median))
			rateTo, cpuTo = append(rateTo, s.rate/to.rate), append(cpuTo, s.cpu/to.cpu)
		}
		fmt.Fprintf(&b, "| %s | %.0f us (%.0f us) | %.2f | %.0f | %.2f | %.2f | %.2f |\n",
			name, median(med), median(p99), median(medTo), median(rate), median(rateTo), median(cpu), median(cpuTo))
	}
	fmt.Fprintf(&b, "\n| where the CPU time goes | %s |\n|---|%s\n", strings.Join(names[1:], " | "), strings.Repeat("---|", len(shares)))
	for i, s := range shares[0] {
		fmt.Fprintf(&b, "| %s |", s.name)
		for _, list := range shares {
			fmt.Fprintf(&b, " %.0f %% |", list[i].percent)
		}
		b.WriteString("\n")
	}
	addToReport(t, setupSection, b.String())
}
