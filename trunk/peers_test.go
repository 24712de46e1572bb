//go:build peers

package trunk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// realNegotiator offers and answers what a softphone understands.
type realNegotiator struct {
	accepted *atomic.Int32
}

const realSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"

func (realNegotiator) Offer(context.Context) ([]byte, error)          { return []byte(realSDP), nil }
func (realNegotiator) Answer(context.Context, []byte) ([]byte, error) { return []byte(realSDP), nil }
func (n realNegotiator) Accept(context.Context, []byte) error         { n.accepted.Add(1); return nil }
func (realNegotiator) Rollback()                                      {}

// SIPp calls, with an offer and without: sippCalls at 20 a second, held for a
// second. None fails, and all goroutines end.
func TestPeerSIPpCalls(t *testing.T) {
	const calls = sippCalls
	for _, tt := range []struct {
		name, transport, option, scenario string
		inACK                             int32 // answers that come in ACKs
	}{
		{"udp", "u1", "-sn", "uac", 0}, {"tcp", "t1", "-sn", "uac", 0}, {"tcp connections", "tn", "-sn", "uac", 0},
		{"udp without offer", "u1", "-sf", "testdata/uac_offerless.xml", calls},
		{"tcp without offer", "t1", "-sf", "testdata/uac_offerless.xml", calls},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var answered, ended, accepted atomic.Int32
			s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
				c.Ring(180, "")
				if err := c.Answer(ctx, realNegotiator{&accepted}); err != nil {
					t.Errorf("answer: %v", err)
					return
				}
				answered.Add(1)
				<-ctx.Done()
				if e, ok := c.Err().(*EndError); !ok || !e.ByPeer {
					t.Errorf("end: %v", c.Err())
				}
				ended.Add(1)
			})})
			before := runtime.NumGoroutine()
			_, _, err := peertest.Run(t, 2*time.Minute, "sipp", tt.option, tt.scenario, "-s", "001201234", "-t", tt.transport,
				"-i", "127.0.0.1", "-p", fmt.Sprint(peertest.Port(t)), "-m", fmt.Sprint(calls), "-r", "20", "-d", "1000",
				"-timeout", "100s", "-max_socket", "2000", "-nostdin", addrOfServer(s).String())
			if err != nil {
				t.Error(err)
			}
			if answered.Load() != calls || ended.Load() != calls {
				t.Errorf("%d answered, %d ended", answered.Load(), ended.Load())
			}
			if accepted.Load() != tt.inACK {
				t.Errorf("%d answers in ACKs", accepted.Load())
			}
			peertest.Eventually(t, 10*time.Second, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
			if n := len(s.Calls()); n != 0 {
				t.Errorf("%d calls left", n)
			}
			t.Logf("%+v", s.sockets[0].ep.Stats())
		})
	}
}

// SIPp answers: sippCalls of ours at 20 a second, held for a second.
func TestPeerSIPpAnswers(t *testing.T) {
	const calls = sippCalls
	for transport, sipp := range map[string]string{"udp": "u1", "tcp": "t1"} {
		t.Run(transport, func(t *testing.T) {
			port := peertest.Port(t)
			p := peertest.Start(t, "sipp", "-sn", "uas", "-t", sipp, "-i", "127.0.0.1", "-p", fmt.Sprint(port),
				"-m", fmt.Sprint(calls), "-timeout", "100s", "-nostdin")
			if transport == "tcp" { // over UDP retransmissions wait for SIPp
				peertest.Eventually(t, 10*time.Second, "SIPp listens", func() bool {
					c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
					if err == nil {
						c.Close()
					}
					return err == nil
				})
			}
			s := serve(t, &Server{Trunks: []Config{{RemotePort: port, Transport: transport}}})
			before := runtime.NumGoroutine()
			var accepted atomic.Int32
			var wg sync.WaitGroup
			for i := range calls {
				wg.Go(func() {
					c, err := s.Trunk("t0").Dial(context.Background(), realNegotiator{&accepted}, DialOptions{Number: fmt.Sprint(i)})
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					time.Sleep(time.Second) // the call
					if err := c.Hangup(context.Background(), "done"); err != nil {
						t.Errorf("hangup: %v", err)
					}
				})
				time.Sleep(50 * time.Millisecond) // the pace of the load
			}
			wg.Wait()
			if err := p.Wait(30 * time.Second); err != nil {
				t.Error(err)
			}
			if accepted.Load() != calls {
				t.Errorf("%d answers", accepted.Load())
			}
			peertest.Eventually(t, 10*time.Second, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

// SIPp answers as some PBXs do: elsewhere, and in a reliable provisional
// response.
func TestPeerSIPpPlaces(t *testing.T) {
	for flag, transport := range map[string]string{"u1": "udp", "t1": "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			there, moved, prack := peertest.Port(t), peertest.Port(t), peertest.Port(t)
			uas := func(port int, args ...string) *peertest.Process {
				return peertest.Start(t, "sipp", append(args, "-t", flag, "-i", "127.0.0.1", "-p", fmt.Sprint(port),
					"-mp", fmt.Sprint(peertest.Ports(t, 4)), "-m", "1", "-timeout", "60s", "-nostdin")...)
			}
			peers := []*peertest.Process{
				uas(there, "-sn", "uas"),
				uas(moved, "-sf", "testdata/uas_moved.xml", "-key", "elsewhere", fmt.Sprint(there)),
				uas(prack, "-sf", "testdata/uas_prack.xml"),
			}
			s := serve(t, &Server{Trunks: []Config{
				{Name: "moved", RemotePort: moved, Transport: transport}, {Name: "prack", RemotePort: prack, Transport: transport},
			}})
			for _, name := range []string{"moved", "prack"} {
				var accepted atomic.Int32
				var progress atomic.Int32
				o := DialOptions{Number: "1", Redirects: 3, OnProgress: func(res *sip.Response) { progress.Store(int32(res.StatusCode)) }}
				var c *Call
				peertest.Eventually(t, 20*time.Second, "SIPp answers", func() bool {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					defer cancel()
					var err error
					c, err = s.Trunk(name).Dial(ctx, realNegotiator{&accepted}, o)
					if err != nil && !errors.Is(err, sipnet.ErrTransport) { // it does not listen yet
						t.Fatalf("%s: %v", name, err)
					}
					return err == nil
				})
				want := map[string]int32{"moved": 180, "prack": 183}[name]
				if accepted.Load() != 1 || progress.Load() != want {
					t.Errorf("%s: %d answers, progress %d", name, accepted.Load(), progress.Load())
				}
				if err := c.Hangup(context.Background(), "done"); err != nil {
					t.Error(err)
				}
			}
			for i, p := range peers {
				if err := p.Wait(30 * time.Second); err != nil {
					t.Errorf("SIPp %d: %v\n%s", i, err, p.Output())
				}
			}
		})
	}
}
