package gateway_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// TestBadBodies sends bodies that are no offers while a call runs: one response
// that tells why, one line of the log, and the call goes on.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	r := local(t, nil)
	r.call("100")
	peer := trunktest.NewPeer(t, "udp")
	for name, c := range map[string]struct {
		kind, body string
		code       int
	}{
		"another type":    {"Content-Type: text/plain\r\n", trunktest.Offer, 415},
		"no type, no SDP": {"", "hello", 415},
		"no type, SDP":    {"", trunktest.Offer, 200},
		"broken":          {"Content-Type: application/sdp\r\n", "v=0\r\nm=audio\r\n", 400},
		"no line for us":  {"Content-Type: application/sdp\r\n", sdpOffer("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"), 488},
		"encoded":         {"Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", trunktest.Offer, 415},
	} {
		t.Run(name, func(t *testing.T) {
			leg := peer.NewLeg(r.addr("pbx"), "101")
			leg.Seq, leg.InviteSeq = 1, 1
			leg.InviteTarget, leg.InviteBranch = leg.Target, "z9hG4bK"+leg.CallID
			text := leg.Text("INVITE", leg.Target, leg.InviteBranch, 1, "X-Kind: here\r\n", c.body)
			text = strings.Replace(text, "Content-Type: application/sdp\r\n", "", 1)
			peer.Send(r.addr("pbx"), strings.Replace(text, "X-Kind: here\r\n", c.kind, 1))
			m := leg.Expect("INVITE", c.code)
			if c.code == 200 {
				leg.ACK("")
				hangUp(leg)
				return
			}
			if m.Header("Warning") == "" {
				t.Error("no Warning")
			}
			eventually(t, "end of it", func() bool { return len(r.Bridge.Sessions()) == 1 })
			refused := fmt.Sprintf(" code=%d ", c.code)
			eventually(t, "the log tells", func() bool { return r.about(leg.CallID, refused) > 0 })
			if n := r.about(leg.CallID, "level=WARN", "level=ERROR", `msg="call ended"`); n != 1 {
				t.Errorf("%d lines for one request", n)
			}
			for line := range strings.Lines(r.log.String()) {
				if strings.Contains(line, leg.CallID) && strings.Contains(line, "level=WARN") {
					if !strings.Contains(line, `msg="call refused"`) || !strings.Contains(line, "number=101") || strings.Count(line, "reason=") != 1 {
						t.Errorf("the line: %s", line)
					}
				}
			}
		})
	}
	pictures(t, r.URL("live/rtmp_100"))
}

// about counts the lines of the log on a call that have one of the texts.
func (r *running) about(callID string, texts ...string) (n int) {
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, callID) && slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(line, s) }) {
			n++
		}
	}
	return n
}

// TestWrongPayloadType sends RTP that was not agreed, in the middle of good
// packets: it is counted and nothing else.
func TestWrongPayloadType(t *testing.T) {
	t.Parallel()
	r := local(t, nil)
	peer := trunktest.NewPeer(t, "udp")
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	leg := peer.Invite(r.addr("pbx"), "100", strings.Replace(trunktest.Offer, "40000", fmt.Sprint(port), 1))
	leg.Expect("INVITE", 200)
	leg.ACK("")
	defer hangUp(leg)
	eventually(t, "session", func() bool { return len(r.Bridge.Sessions()) == 1 && r.Bridge.Sessions()[0].Agreed() != nil })
	s := r.Bridge.Sessions()[0]
	stop := sendPCMA(t, conn, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.Stats().Media.Lines[0].LocalPort)))
	defer stop()
	r.heard("rtmp_100", 100)
	st := s.Stats().Media
	if st.Foreign < 10 || st.Lines[0].Received.Packets < 100 {
		t.Errorf("counted %+v", st)
	}
	if n := r.about(s.ID(), "level=WARN", "level=ERROR"); n > 1 {
		t.Errorf("%d warnings", n)
	}
}

// sendPCMA sends G.711 in real time, each fifth packet with the payload type of
// something else.
func sendPCMA(t *testing.T, conn *net.UDPConn, to netip.AddrPort) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 8, SSRC: 7, SequenceNumber: uint16(i), Timestamp: uint32(i * 160)}, Payload: make([]byte, 160)}
			if i%5 == 4 {
				p.PayloadType = 77
			}
			b, err := p.Marshal()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := conn.WriteToUDPAddrPort(b, to); err != nil {
				t.Error(err)
				return
			}
			<-tick.C
		}
	}()
	return func() { cancel(); <-done }
}

// heard plays a stream until it has brought n frames of sound.
func (r *running) heard(stream string, n int) {
	t := r.t
	t.Helper()
	eventually(t, "stream "+stream, func() bool { return slices.Contains(r.streams(), "live/"+stream) })
	url := r.URL("live/" + stream)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p := &rtmp.Player{URL: url}
	defer p.Close()
	for n > 0 {
		f, err := p.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if f.Track.Codec != media.AAC {
			t.Fatalf("got %s", f.Track.Codec)
		}
		n--
	}
}

// TestOneKindOfMedia publishes calls that have sound only, and a picture only.
func TestOneKindOfMedia(t *testing.T) {
	t.Parallel()
	for name, caps := range map[string]sdp.Capabilities{
		"sound":   {Video: sdp.MediaCapabilities{Off: true}},
		"picture": {Audio: sdp.MediaCapabilities{Off: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := local(t, nil)
			callWith(t, r.addr("pbx"), "100", &caps)
			eventually(t, "stream", func() bool { return slices.Equal(r.streams(), []string{"live/rtmp_100"}) })
			if name == "sound" {
				r.heard("rtmp_100", 50)
			} else {
				pictures(t, r.URL("live/rtmp_100"))
			}
			info := r.RTMP.List()[0]
			if (info.Video == media.H264) != (name == "picture") || (info.Audio == media.AAC) != (name == "sound") {
				t.Errorf("published %+v", info)
			}
			if r.has(trunkcast.CallEnded) {
				t.Error("the call ended")
			}
		})
	}
}

// callWith places a call of the demo clip with what caps allow, until the test
// ends.
func callWith(t *testing.T, to netip.AddrPort, number string, caps *sdp.Capabilities) {
	t.Helper()
	register := false
	ua := &trunk.Server{Trunks: []trunk.Config{{
		Name: "ua", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", RemotePort: int(to.Port()), Register: &register,
	}}}
	if err := ua.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	session := &rtpio.Session{Caps: caps, Ports: &rtpio.Ports{First: 30000, Last: 31999, Addr: to.Addr()}}
	clip := &inject.Injector{Source: democlip.Open(), Sink: session, NoAudio: caps.Audio.Off, NoVideo: caps.Video.Off}
	t.Cleanup(func() {
		_ = session.Close()
		_ = ua.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	call, err := ua.Trunk("ua").Dial(ctx, session, trunk.DialOptions{Number: number})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		clip.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := call.Hangup(ctx, ""); err != nil {
			t.Errorf("hang-up: %v", err)
		}
	})
	if err := clip.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}
