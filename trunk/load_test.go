package trunk

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const meant = `trunks:
 pbx_t0:                       # trunk name
  localPort: 40000             # SIP port, UDP and TCP
  proxyIp: pbx_address
  remotePort: 5060
  url: rtmp://rtmp_server:1935/live
  visibleName: CUSTOM_NAME
  sdp: |
   o=10009 2469 1555 IN IP4 0.0.0.0
   c=IN IP4 0.0.0.0
   t=0 0
   m=audio 7270 RTP/AVP 96
   a=rtpmap:96 opus/48000/2
   a=recvonly
   m=video 9202 RTP/AVP 96
   a=rtpmap:96 H264/90000
   a=fmtp:96 profile-level-id=42801F
   a=recvonly
  sdpParams:
   - b=AS:2000
   - b=RS:50
   - b=RR:100
`

func TestProductFileBothShapes(t *testing.T) {
	seed, err := os.ReadFile("testdata/sip_trunk.seed.yml")
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string]string{
		"printed": string(seed),
		"meant":   meant,
		"windows": "\xef\xbb\xbf" + strings.ReplaceAll(meant, "\n", "\r\n"),
	}
	for name, text := range shapes {
		t.Run(name, func(t *testing.T) {
			trunks, warnings, err := ParseConfig("sip_trunk.yml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			want := Config{
				Name: "pbx_t0", LocalPort: 40000, ProxyIP: "pbx_address", RemotePort: 5060,
				URL: "rtmp://rtmp_server:1935/live", VisibleName: "CUSTOM_NAME",
				SDPParams: []string{"b=AS:2000", "b=RS:50", "b=RR:100"},
			}
			got := trunks[0]
			if !strings.HasPrefix(got.SDP, "o=10009 2469") || strings.Count(strings.TrimSpace(got.SDP), "\n") != 9 || strings.Contains(got.SDP, "\r") {
				t.Errorf("sdp %q", got.SDP)
			}
			got.SDP, got.Warnings, got.origin = "", nil, nil
			if len(trunks) != 1 || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v", trunks)
			}
			all := strings.Join(warnings, "\n")
			if strings.Contains(all, "sip_trunk.yml:2: pbx_t0 stands beside") != (name == "printed") {
				t.Errorf("warnings: %s", all)
			}
			if !strings.Contains(all, "b=RS:50") {
				t.Errorf("no warning about b=RS:50 in %q", all)
			}
		})
	}
}

func TestConfigKeys(t *testing.T) {
	text := `trunks:
  a:
    localPort: "40000"
    proxyIp: 192.0.2.1
    url: rtmps://u:p@cdn.example/app/inner?token=a/b
    login: 001201
    password: 12345
    register: no
    expires: 600
    transport: tls
    allow: 10.0.0.0/8
    localNets: [192.168.0.0/16, "::1"]
    mediaPorts: 30000-30999
    mediaTimeout: 2m
    transfers: follow
    earlyMedia: 2s
    jitterMin: 60ms
    jitterMax: 1s
    damagedVideo: pass
    maxFreeze: 3s
    maxVideoBitRate: 1500000
    callerUsers: {alice: secret}
    streamName: "{trunk}_{number}"
    numberFrom: to
    audio: copy
  b:
    localPort: 40000
    proxyIp: pbx.example
    url: rtmp://localhost/live
`
	trunks, _, err := ParseConfig("x.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a := trunks[0]
	if a.Login != "001201" || a.Password != "12345" || *a.Register || a.Expires != 10*time.Minute ||
		a.Allow[0].String() != "10.0.0.0/8" || a.LocalNets[1].String() != "::1/128" ||
		a.MediaPorts != (PortRange{30000, 30999}) || a.MediaTimeout != 2*time.Minute ||
		a.Transfers != "follow" || a.EarlyMedia != 2*time.Second ||
		a.JitterMin != 60*time.Millisecond || a.JitterMax != time.Second || a.DamagedVideo != "pass" ||
		a.MaxFreeze != 3*time.Second || a.MaxVideoBitRate != 1_500_000 ||
		a.CallerUsers["alice"] != "secret" || a.Audio != "copy" || trunks[1].Name != "b" {
		t.Errorf("got %+v", trunks)
	}
	if s := fmt.Sprintf("%v %+v %#v", a, a, a); strings.Contains(s, "12345") || strings.Contains(s, "secret\"") {
		t.Errorf("a secret was printed: %s", s)
	}
}

func TestConfigErrors(t *testing.T) {
	const head = "trunks:\n a:\n  localPort: 5060\n  proxyIp: h\n  url: rtmp://h/live\n"
	for _, c := range []struct{ text, want string }{
		{"", "x.yml:1: no trunks"},
		{"trunks:", "x.yml:1: no trunks"},
		{"trunks: 5", "x.yml:1: trunks: keys with values are expected"},
		{"other: {}", "x.yml:1: other: unknown key (known: trunks)"},
		{"trunks:\n a:\n  localPort: 5060\n", "x.yml:2: trunks.a: key proxyIp is missing"},
		{"trunks:\n a:\n  proxyIp: h\n  url: rtmp://h/live\n  localPort:\n", "trunks.a: key localPort is missing"},
		{head + "  visiblename: x\n", "x.yml:6: trunks.a.visiblename: unknown key (did you mean visibleName?)"},
		{head + "  localPort: 2\n", `x.yml:6: mapping key "localPort" already defined`},
		{head + "  remotePort: 99999\n", "x.yml:6: trunks.a.remotePort: 99999 is not between 1 and 65535"},
		{head + "  remotePort: many\n", `x.yml:6: trunks.a.remotePort: "many" is not a whole number`},
		{head + "  jitterMin: 1ms\n", "x.yml:6: trunks.a.jitterMin: 1ms is not between 10ms and 2s"},
		{head + "  jitterMin: 500ms\n", "x.yml:6: trunks.a.jitterMin: 500ms is above jitterMax 400ms"},
		{head + "  jitterMin: 90ms\n  jitterMax: 80ms\n", "x.yml:6: trunks.a.jitterMin: 90ms is above jitterMax 80ms"},
		{head + "  jitterMax: 30ms\n", "x.yml:6: trunks.a.jitterMax: 30ms is below jitterMin 40ms"},
		{head + "  damagedVideo: show\n", `x.yml:6: trunks.a.damagedVideo: "show" is not one of hold, pass`},
		{head + "  maxVideoBitRate: 1M\n", `x.yml:6: trunks.a.maxVideoBitRate: "1M" is not a whole number`},
		{head + "  tlsCert: cert.pem\n", "x.yml:6: trunks.a.tlsCert: it goes together with tlsKey"},
		{head + "  tlsKey: key.pem\n", "x.yml:6: trunks.a.tlsKey: it goes together with tlsCert"},
		{head + "  transport: sctp\n", `x.yml:6: trunks.a.transport: "sctp" is not one of udp, tcp, tls`},
		{head + "  allow: [10.0.0.0/8, nonsense]\n", `x.yml:6: trunks.a.allow: "nonsense" is neither`},
		{head + "  mediaPorts: 5\n", "x.yml:6: trunks.a.mediaPorts: "},
		{head + "  register: maybe\n", `"maybe" is neither true nor false`},
		{head + "  expires: 1s\n", "1s is not between 1m0s and 168h0m0s"},
		{head + "  password: x\n", "x.yml:6: trunks.a.password: a password without login"},
		{head + "  sdpParams: [hello]\n", `"hello" is not a line of SDP`},
		{head + "  login: [a]\n", "x.yml:6: trunks.a.login: one value is expected"},
		{"trunks:\n a:\n  localPort: 1\n  proxyIp: h h\n  url: rtmp://h/live\n", `"h h" is neither an IP address nor a host name`},
		{"trunks:\n a:\n  localPort: 1\n  proxyIp: h\n  url: http://u:secret@h/live\n", `"http://u:xxxxx@h/live" is not an rtmp`},
		{"trunks:\n a:\n  localPort: 1\n  proxyIp: h\n  url: rtmp://h\n", "names no application"},
		{"trunks:\n\ta: 1", "x.yml:"},
		{head + "---\n" + head, "2 documents"},
		{strings.Repeat("#", 2<<20), "2097152 bytes, at most 1048576"},
	} {
		_, _, err := ParseConfig("x.yml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.120q\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestAllErrors: who mends a file need not start again for each of them.
func TestAllErrors(t *testing.T) {
	text := "trunks:\n a:\n  localPort: none\n  proxyIp: h h\n  extra: 1\n b:\n  localPort: 1\nother: 1\n"
	_, _, err := ParseConfig("x.yml", []byte(text))
	for _, want := range []string{
		"x.yml:3: trunks.a.localPort: ", "x.yml:4: trunks.a.proxyIp: ", "x.yml:5: trunks.a.extra: ", "x.yml:2: trunks.a: key url ",
		"x.yml:6: trunks.b: key proxyIp", "x.yml:6: trunks.b: key url ", "x.yml:8: other: ",
	} {
		if err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("not told once: %q in\n%v", want, err)
		}
	}
	text = "trunks:\n a:\n"
	for i := range 10_000 {
		text += fmt.Sprintf("  unknown%d: 1\n", i)
	}
	if _, _, err = ParseConfig("x.yml", []byte(text)); err == nil || len(err.Error()) > 30_000 || !strings.Contains(err.Error(), "more errors") {
		t.Errorf("very many: %.300v", err)
	}
}

// TestKeyError places an error that is found after reading.
func TestKeyError(t *testing.T) {
	trunks, _, err := ParseConfig("x.yml", []byte("trunks:\n a:\n  localPort: 1\n  proxyIp: h\n  url: rtmp://h/live\n  streamName: x\n"))
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("wrong")
	if err := trunks[0].KeyError("streamName", cause); err.Error() != "x.yml:6: trunks.a.streamName: wrong" || !errors.Is(err, cause) {
		t.Errorf("of a file: %v", err)
	}
	own := Config{Name: "own"}
	if err := own.KeyError("streamName", cause); err.Error() != "trunk own: streamName: wrong" || !errors.Is(err, cause) {
		t.Errorf("of a program: %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(meant))
	f.Add([]byte("trunks: &a {b: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		trunks, _, err := ParseConfig("fuzz.yml", data)
		if err == nil && len(trunks) == 0 {
			t.Error("neither trunks nor an error")
		}
	})
}
