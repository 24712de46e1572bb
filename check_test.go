package trunkcast_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// TestBadConfigDoesNotStart: what no call could be served with is told before
// the first, with file and line; what has no effect is logged, once.
func TestBadConfigDoesNotStart(t *testing.T) {
	const head = "trunks:\n a:\n  localPort: 40000\n  listenAddress: 127.0.0.1\n  proxyIp: 127.0.0.1\n  register: false\n  url: rtmp://127.0.0.1/live\n"
	for name, c := range map[string]struct {
		text, says string
	}{
		"name":  {head + "  streamName: '{nope}'\n", "x.yml:8: trunks.a.streamName: "},
		"sdp":   {head + "  sdp: hello\n", "x.yml:8: trunks.a.sdp: "},
		"lines": {head + "  sdpParams: ['m=audio']\n", "x.yml:8: trunks.a.sdpParams: "},
		"both":  {head + "  streamName: '{nope}'\n  sdp: hello\n", "x.yml:9: trunks.a.sdp: "},
		"good":  {head + "  sdpParams: ['b=RS:50']\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			trunks, _, err := trunk.ParseConfig("x.yml", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			trunks[0].LocalPort = 0
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			srv := &trunk.Server{Trunks: trunks, Handler: &trunkcast.Bridge{Logger: logger}, Logger: logger}
			err = srv.Start(context.Background())
			defer srv.Close()
			if c.says == "" {
				if n := strings.Count(log.String(), "b=RS:50"); err != nil || n != 1 || !strings.Contains(log.String(), "x.yml:8") {
					t.Errorf("%v, %d warnings in\n%s", err, n, log.String())
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
		})
	}
}

// TestBadPlanIsLogged: one error with the reason, one line about the refusal.
func TestBadPlanIsLogged(t *testing.T) {
	b := &trunkcast.Bridge{Plan: func(context.Context, *trunk.Call) (*trunkcast.Plan, error) {
		return nil, errors.New("the database is away")
	}}
	addr, log := serveLogged(t, b, nil)
	trunktest.NewPeer(t, "udp").Invite(addr, "100", trunktest.Offer).Expect("INVITE", 500)
	eventually(t, "line about the refusal", func() bool { return strings.Contains(log.String(), "call refused") })
	text := log.String()
	if n := strings.Count(text, "the database is away"); n != 1 || !strings.Contains(text, "level=ERROR") {
		t.Errorf("told %d times:\n%s", n, text)
	}
	if !strings.Contains(text, `level=WARN msg="call refused"`) || !strings.Contains(text, "number=100 code=500 reason=") {
		t.Errorf("the refusal:\n%s", text)
	}
}

// TestOneLineOfTheEnd has number, stream, who ended the call and how long it
// was, and nothing that is empty.
func TestOneLineOfTheEnd(t *testing.T) {
	for _, ours := range []bool{false, true} {
		b := &trunkcast.Bridge{}
		addr, log := serveLogged(t, b, nil)
		peer := trunktest.NewPeer(t, "udp")
		leg := peer.Establish(addr, "100")
		who := `ended_by="far side"`
		if ours {
			who = "ended_by=us"
			go func() { _ = b.Sessions()[0].Hangup(context.Background(), "enough") }()
			peer.Response(leg.Await("BYE"), 200, "", "", "")
		} else {
			leg.Request("BYE", "", "")
			leg.Expect("BYE", 200)
		}
		eventually(t, "end of the session", func() bool { return len(b.Sessions()) == 0 })
		var lines []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "ended") {
				lines = append(lines, line)
			}
		}
		if len(lines) != 1 {
			t.Fatalf("%d lines: %q", len(lines), lines)
		}
		for _, want := range []string{"level=INFO", "number=100", "stream=rtmp_100", who, "duration="} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("no %s in %s", want, lines[0])
			}
		}
		if strings.Contains(lines[0], "code=") || strings.Contains(lines[0], "error=") || strings.Contains(lines[0], "reason=enough") != ours {
			t.Errorf("the line: %s", lines[0])
		}
	}
}

// TestNoPortsIsWarned: that nothing can be received any more is no everyday
// line, and is told once.
func TestNoPortsIsWarned(t *testing.T) {
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	first := taken.LocalAddr().(*net.UDPAddr).Port &^ 1
	ports := &rtpio.Ports{First: first, Last: first + 1, Addr: netip.MustParseAddr("127.0.0.1")}
	b := &trunkcast.Bridge{Plan: func(context.Context, *trunk.Call) (*trunkcast.Plan, error) {
		return &trunkcast.Plan{Name: "x", Ports: ports}, nil
	}}
	addr, log := serveLogged(t, b, nil)
	trunktest.NewPeer(t, "udp").Invite(addr, "100", trunktest.Offer).Expect("INVITE", 503)
	eventually(t, "end of it", func() bool { return len(b.Sessions()) == 0 && strings.Contains(log.String(), "code=503") })
	if n := strings.Count(log.String(), "ports"); n != 1 || !strings.Contains(log.String(), `level=WARN msg="call refused"`) {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}
