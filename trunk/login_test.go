package trunk

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// What is wrong with a login is told, and it is tried again rarely.
func TestLoginRefused(t *testing.T) {
	const ask = `WWW-Authenticate: Digest realm="r", nonce="n", algorithm=`
	for _, tt := range []struct {
		name, password, algorithm string
		code                      int // of the second response; 0: there is no second request
		cause                     error
		text                      string
	}{
		{"wrong password", "x", "MD5", 401, ErrWrongPassword, "refused: wrong password"},
		{"forbidden", "x", "MD5", 403, ErrWrongPassword, "refused: wrong password"},
		{"no password", "", "MD5", 0, ErrNoPassword, "refused: no password set"},
		{"algorithm", "x", "SHA-512-256", 0, nil, `refused: algorithm "SHA-512-256" unknown`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := trunktest.NewPeer(t, "udp")
			_, states := registering(t, p, Config{Login: "9000", Password: Secret(tt.password)}, func(s *Server) {
				s.clock.login, s.clock.maxLogin = 0, 0
			})
			p.Response(p.Request("REGISTER"), 401, "Unauthorized", ask+tt.algorithm+"\r\n", "")
			if tt.code != 0 {
				p.Response(p.Request("REGISTER"), tt.code, "x", ask+tt.algorithm+"\r\n", "")
			}
			r := get(t, states, "state")
			want := "login 9000 at " + p.Addr().String() + " " + tt.text
			if r.Err == nil || r.Err.Error() != want || tt.cause != nil && !errors.Is(r.Err, tt.cause) {
				t.Errorf("%v, want %s", r.Err, want)
			}
			if wait := time.Until(r.Next); wait < 3*time.Minute || wait > 7*time.Minute {
				t.Errorf("again in %v", wait)
			}
		})
	}
	if d := backoff(5*time.Minute, time.Hour, 9, nil); d < 45*time.Minute || d > 75*time.Minute {
		t.Errorf("after many refusals: %v", d)
	}
}

// The end of a registration that never was is not told to the log.
func TestNeverRegistered(t *testing.T) {
	var log lockedBuilder
	p := trunktest.NewPeer(t, "udp")
	s, states := registering(t, p, Config{}, func(s *Server) {
		s.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s.clock.backoff, s.clock.maxBackoff = time.Hour, time.Hour
	})
	p.Response(p.Request("REGISTER"), 500, "x", "", "")
	get(t, states, "state")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "unregistered") || strings.Contains(log.String(), "0001-01-01") {
		t.Errorf("%s", log.String())
	}
}

func TestValuesOfTrunkFile(t *testing.T) {
	const trunk = "trunks:\n pbx:\n  localPort: 1\n  url: rtmp://h/live\n  proxyIp: "
	for text, want := range map[string]string{
		"h\n  callerUsers: {bob: , alice: x}": "f:6: trunks.pbx.callerUsers.bob: a value is missing",
		"h\n  callerUsers: {bob: \"\"}":       "f:6: trunks.pbx.callerUsers.bob: an empty password",
		"h\n  callerUsers: {}":                "f:6: trunks.pbx.callerUsers: no users",
		"h\n  streamName: \"\"":               "f:6: trunks.pbx.streamName: it is empty",
		"127.0.0.300":                         "f:5: trunks.pbx.proxyIp: ",
	} {
		if _, _, err := ParseConfig("f", []byte(trunk+text+"\n")); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	twice := strings.Replace(trunk, "trunks:", "", 1)
	_, warnings, err := ParseConfig("f", []byte(trunk+"h"+strings.Replace(twice, "pbx", "two", 1)+"h\n"))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "trunk two has the same localPort and proxyIp as trunk pbx") {
		t.Errorf("%q, %v", warnings, err)
	}
	list, _, err := ParseConfig("f", []byte(trunk+"h\n  mediaTimeout: 0\n  keepAlive: 0\n  keyFrameInterval: 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c := list[0].withDefaults(); c.MediaTimeout >= 0 || c.KeepAlive >= 0 || c.KeyFrameInterval >= 0 {
		t.Errorf("0 is not off: %v, %v, %v", c.MediaTimeout, c.KeepAlive, c.KeyFrameInterval)
	}
}

// A PBX whose name is unknown is one warning at a time, not two.
func TestUnknownRegistrar(t *testing.T) {
	var log lockedBuilder
	states := make(chan Registration, 10)
	yes := true
	s := &Server{
		Trunks: []Config{{ProxyIP: "pbx.invalid", Register: &yes}}, Handler: answering(&syncNegotiator{}, nil),
		OnRegistration: func(_ *Trunk, r Registration) { states <- r },
		Logger:         slog.New(slog.NewTextHandler(&log, nil)),
	}
	s.resolver.DNS = nowhere{}
	serve(t, s)
	if r := get(t, states, "state"); r.State != RegistrationFailed || r.Err == nil {
		t.Errorf("%+v", r)
	}
	if text := log.String(); !strings.Contains(text, "name not resolved") || strings.Contains(text, "registration failed") {
		t.Errorf("%s", text)
	}
}

// nowhere is a DNS that knows nothing.
type nowhere struct{}

func (nowhere) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("no such host")
}

func (nowhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}
