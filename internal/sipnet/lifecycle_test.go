package sipnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestStartAndClose(t *testing.T) {
	e := &Endpoint{Listen: loopback, OnRequest: answer(200)}
	if err := e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background()); err == nil {
		t.Error("started twice")
	}
	if e.Err() != nil {
		t.Error(e.Err())
	}
	p := rawTCP(t, e)
	p.send(t, probe("tcp", "1"))
	p.read(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { e.Close() })
	}
	wg.Wait()
	ended(t, e.Done(), "Done")
	if !errors.Is(e.Err(), ErrClosed) {
		t.Errorf("Err %v", e.Err())
	}
	p.closed(t)
	if err := e.Start(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
	// The port is free again at once.
	again := &Endpoint{Listen: e.Addr()}
	if err := again.Start(context.Background()); err != nil {
		t.Error(err)
	}
	again.Close()
}

func TestCloseBeforeStart(t *testing.T) {
	e := &Endpoint{Listen: loopback}
	e.Close()
	ended(t, e.Done(), "Done")
	if _, err := e.Request(context.Background(), newRequest(sip.OPTIONS, "a"), Target{Addr: loopback}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestContextEndsEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	e := &Endpoint{Listen: loopback}
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("enough")
	cancel(reason)
	ended(t, e.Done(), "Done")
	e.Close()
	if !errors.Is(e.Err(), reason) {
		t.Errorf("Err %v", e.Err())
	}
}

func TestTakenPort(t *testing.T) {
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	free := addrOf(l.Addr())
	for transport, addr := range map[string]netip.AddrPort{"udp": addrOf(u.LocalAddr()), "tcp": free} {
		e := &Endpoint{Listen: addr}
		err := e.Start(context.Background())
		var taken *ListenError
		if !errors.As(err, &taken) || taken.Transport != transport || taken.Addr != addr {
			t.Errorf("%s: %v", transport, err)
		}
		e.Close()
	}
	// Half an endpoint is none: the UDP port is free again.
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(free))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, e := range []*Endpoint{{}, {Listen: loopback, TLSListen: loopback}} {
		if err := e.Start(context.Background()); err == nil {
			t.Error("started")
		}
		e.Close()
	}
}

func TestLocalAddr(t *testing.T) {
	any := start(t, &Endpoint{Listen: netip.MustParseAddrPort("0.0.0.0:0")})
	one := start(t, &Endpoint{})
	for _, tt := range []struct {
		e    *Endpoint
		to   Target
		want string
	}{
		{any, Target{Addr: netip.MustParseAddrPort("127.0.0.9:5060")}, "127.0.0.1"},
		{one, Target{Addr: netip.MustParseAddrPort("192.0.2.1:5060")}, "127.0.0.1"},
	} {
		got, err := tt.e.LocalAddr(tt.to)
		if err != nil || got.Addr().String() != tt.want || got.Port() != tt.e.Addr().Port() {
			t.Errorf("%+v: %v, %v", tt.to, got, err)
		}
	}
	if _, err := any.LocalAddr(Target{}); err == nil {
		t.Error("an address for no target")
	}
}

// A response comes from the address the request was sent to, and so does what
// goes back over its flow.
func TestAnswerFromTheAddressAsked(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			flows := make(chan *Flow, 1)
			e := &Endpoint{Listen: netip.MustParseAddrPort(listen), OnRequest: func(req *sip.Request, tx *ServerTx) {
				answer(200)(req, tx)
				flows <- tx.Flow()
			}}
			if err := e.Start(context.Background()); err != nil {
				t.Skip(err)
			}
			defer e.Close()
			other := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), e.Addr().Port())
			// A connected socket takes nothing from elsewhere.
			c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(other))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write([]byte(probe("udp", "1")))
			if res := readUDP(t, c); !strings.HasPrefix(res, "SIP/2.0 200 ") {
				t.Errorf("got %s", res)
			}
			flow := get(t, flows, "flow")
			if flow.Local() != other {
				t.Errorf("flow from %s", flow.Local())
			}
			if local, err := e.LocalAddr(Target{Flow: flow}); local != other {
				t.Errorf("local address %s, %v", local, err)
			}
			if err := e.Send(context.Background(), newRequest(sip.ACK, "a"), Target{Flow: flow}); err != nil {
				t.Fatal(err)
			}
			if ack := readUDP(t, c); !strings.HasPrefix(line(ack, "Via: "), "SIP/2.0/UDP "+other.String()) {
				t.Errorf("got %s", ack)
			}
		})
	}
}

func TestSentBy(t *testing.T) {
	server := start(t, &Endpoint{OnRequest: answer(200)})
	client := start(t, &Endpoint{})
	for _, tt := range []struct {
		by   SentBy
		want string
	}{
		{SentBy{"sip.example.com", 5070}, "sip.example.com:5070"},
		{SentBy{"203.0.113.7", 0}, "203.0.113.7:" + portOf(client)},
		{SentBy{"[2001:db8::1]", 5060}, "[2001:db8::1]:5060"},
		{SentBy{"", 5080}, "127.0.0.1:5080"},
	} {
		tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "a"), Target{Addr: server.Addr(), SentBy: tt.by})
		if err != nil {
			t.Fatal(err)
		}
		// rport brings the answer back, whatever sent-by says.
		res := get(t, tx.Responses(), "response")
		via := res.Via()
		if got := via.Value(); got[len("SIP/2.0/UDP "):][:len(tt.want)] != tt.want {
			t.Errorf("Via %s, want %s", got, tt.want)
		}
		if received, _ := via.Params.Get("received"); received != "127.0.0.1" {
			t.Errorf("received %q", received)
		}
	}
}

func portOf(e *Endpoint) string {
	_, port, _ := net.SplitHostPort(e.Addr().String())
	return port
}

func TestRequestIsChecked(t *testing.T) {
	e := start(t, &Endpoint{})
	if _, err := e.Request(context.Background(), newRequest(sip.ACK, "a"), Target{Addr: e.Addr()}); err == nil {
		t.Error("ACK")
	}
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		req := newRequest(sip.OPTIONS, "a")
		req.RemoveHeader(name)
		if _, err := e.Request(context.Background(), req, Target{Addr: e.Addr()}); err == nil {
			t.Errorf("without %s", name)
		}
	}
	req := newRequest(sip.OPTIONS, "a")
	req.AppendHeader(&sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: "x"})
	if _, err := e.Request(context.Background(), req, Target{Addr: e.Addr()}); err == nil {
		t.Error("without a branch")
	}
}

type fakeDNS struct {
	srv   map[string][]*net.SRV
	hosts map[string][]string
	asked []string
}

func (d *fakeDNS) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	key := "_" + service + "._" + proto + "." + name
	d.asked = append(d.asked, key)
	if list := d.srv[key]; list != nil {
		return name, list, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: key, IsNotFound: true}
}

func (d *fakeDNS) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	d.asked = append(d.asked, host)
	var list []netip.Addr
	for _, a := range d.hosts[host] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return list, nil
}

func TestResolver(t *testing.T) {
	dns := func() *fakeDNS {
		return &fakeDNS{
			srv: map[string][]*net.SRV{
				"_sip._udp.srv.example":    {{Target: "a.example.", Port: 5070}, {Target: "gone.example.", Port: 1}, {Target: "b.example.", Port: 5080}},
				"_sips._tcp.srv.example":   {{Target: "b.example.", Port: 5071}},
				"_sip._udp.closed.example": {{Target: "."}},
				"_sip._udp.bad.example":    {{Target: "gone.example.", Port: 5060}},
			},
			hosts: map[string][]string{"a.example": {"192.0.2.1", "2001:db8::1", "192.0.2.1", "::ffff:192.0.2.7"}, "b.example": {"192.0.2.2"}},
		}
	}
	for _, tt := range []struct {
		host      string
		port      uint16
		transport string
		want      []string
		asked     int
	}{
		{"192.0.2.9", 0, "udp", []string{"192.0.2.9:5060"}, 0},
		{"192.0.2.9", 0, "TLS", []string{"192.0.2.9:5061"}, 0},
		{"[2001:db8::9]", 5080, "tcp", []string{"[2001:db8::9]:5080"}, 0},
		{"a.example", 5080, "udp", []string{"192.0.2.1:5080", "[2001:db8::1]:5080", "192.0.2.7:5080"}, 1},
		{"b.example", 0, "", []string{"192.0.2.2:5060"}, 2},
		{"srv.example", 0, "udp", []string{"192.0.2.1:5070", "[2001:db8::1]:5070", "192.0.2.7:5070", "192.0.2.2:5080"}, 4},
		{"srv.example", 0, "tls", []string{"192.0.2.2:5071"}, 2},
		{"srv.example", 5060, "udp", nil, 1},
		{"closed.example", 0, "udp", nil, 1},
		{"bad.example", 0, "udp", nil, 2},
		{"", 0, "udp", nil, 0},
	} {
		d := dns()
		r := &Resolver{DNS: d}
		list, err := r.Lookup(context.Background(), tt.host, tt.port, tt.transport)
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want != nil) || len(d.asked) != tt.asked {
			t.Errorf("%s:%d %s: %v, %v, asked %v", tt.host, tt.port, tt.transport, got, err, d.asked)
		}
	}
	list, err := new(Resolver).Lookup(context.Background(), "localhost", 5060, "udp")
	if err != nil || len(list) == 0 || !list[0].Addr().IsLoopback() {
		t.Errorf("localhost: %v, %v", list, err)
	}
}
