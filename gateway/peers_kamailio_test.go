//go:build peers

package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// behindProxy runs a Kamailio and a gateway that registers there as "trunk".
func behindProxy(t *testing.T, n *peertest.Nginx, transport, password string) (*peertest.Kamailio, *running) {
	t.Helper()
	cfg := pbx(n.RTMPURL + "/live")
	cfg.LocalPort = peertest.Port(t)
	k := peertest.StartKamailio(t, peertest.Loopback(cfg.LocalPort), transport)
	yes := true
	cfg.Register, cfg.RemotePort, cfg.Transport = &yes, k.Port, transport
	cfg.Login, cfg.Password = "trunk", trunk.Secret(password)
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{cfg}, RTMPListen: "off"}, gateway.Options{})
	return k, g
}

// TestPeerKamailio has a registered softphone call through a registered
// gateway's proxy: straight to the gateway's address, and to the contact that
// the gateway has registered, where the dialled number is not that of the
// Request-URI. Either side ends the call.
func TestPeerKamailio(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	for transport, codec := range map[string]string{"udp": "opus/48000/2", "tcp": "PCMA/8000"} {
		t.Run(transport, func(t *testing.T) {
			k, g := behindProxy(t, n, transport, peertest.KamailioPassword)
			peertest.Eventually(t, 20*time.Second, "registered", func() bool { return g.registered(trunk.Registered) })
			phone := peertest.StartBaresip(t, peertest.BaresipOptions{
				Proxy: k.Addr(), Transport: transport, Codecs: []string{codec}, Video: clip.Video, Audio: clip.Audio,
			})
			for _, number := range []string{"100", "900"} {
				phone.Dial("sip:" + number + "@" + k.Addr())
				stream := "rtmp_" + number
				n.WaitStream(stream, 20*time.Second)
				watch(t, n.RTMPURL+"/live/"+stream, wanted)
				if number == "100" {
					phone.Hangup()
				} else {
					g.hangUp()
				}
				phone.Wait("CALL_CLOSED", 20*time.Second)
				n.WaitGone(stream, 20*time.Second)
			}
			if k.Seen("REGISTER") < 4 || k.Seen("BYE") < 2 {
				t.Errorf("the proxy has seen %d REGISTER, %d BYE", k.Seen("REGISTER"), k.Seen("BYE"))
			}
		})
	}
}

// hangUp ends the only call from our side.
func (r *running) hangUp() {
	r.t.Helper()
	s := r.Bridge.Sessions()
	if len(s) != 1 {
		r.t.Fatalf("%d sessions", len(s))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s[0].Hangup(ctx, "test"); err != nil {
		r.t.Error(err)
	}
}

// TestPeerWrongPassword: the registrar refuses, which can be read; calls come
// all the same.
func TestPeerWrongPassword(t *testing.T) {
	n := peertest.StartNginx(t)
	k, g := behindProxy(t, n, "udp", "wrong")
	peertest.Eventually(t, 20*time.Second, "refusal told", func() bool { return g.registered(trunk.RegistrationFailed) })
	if st := g.Trunks.Trunk("pbx").Registration(); st.State != trunk.RegistrationFailed || st.Code != 403 || st.Err == nil ||
		!st.Next.After(time.Now()) {
		t.Errorf("registration %+v", st)
	}
	g.logged(`level=WARN msg="registration failed" trunk=pbx code=403`)
	call := peertest.SIPpOptions{Target: k.Addr(), URI: fmt.Sprintf("sip:100@%s", k.Addr())}
	peertest.StartSIPp(t, call).MustPass(60 * time.Second)
	eventually(t, "end told", func() bool { return g.has(trunkcast.CallEnded) })
}
