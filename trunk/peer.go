package trunk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// Trunk is a trunk of a running [Server].
type Trunk struct {
	srv       *Server
	cfg       Config
	listen    netip.AddrPort
	sock      *socket
	clientTLS *tls.Config // nil: the system's authorities
	registrar *registrar  // nil: does not register
	count     int         // of calls that have not ended; Server.mu guards it

	proxy  atomic.Pointer[[]netip.AddrPort] // of ProxyIP, in the order to try
	public atomic.Pointer[netip.Addr]       // of PublicAddress
	media  atomic.Pointer[netip.Addr]       // of MediaAddress
}

// Name is the trunk's name.
func (t *Trunk) Name() string { return t.cfg.Name }

// Config is the trunk's configuration with the defaults filled in.
func (t *Trunk) Config() Config { return t.cfg }

// Addr is the local address of UDP and TCP, with the port chosen by the kernel
// where LocalPort is 0.
func (t *Trunk) Addr() netip.AddrPort { return t.sock.ep.Addr() }

// Registration is the state of the registration now.
func (t *Trunk) Registration() Registration {
	if t.registrar == nil {
		return Registration{}
	}
	return t.registrar.now()
}

func newTrunk(s *Server, cfg Config) (*Trunk, error) {
	cfg = cfg.withDefaults()
	addr, err := netip.ParseAddr(cfg.ListenAddress)
	switch {
	case err != nil:
		return nil, fmt.Errorf("listenAddress %q is not an IP address", cfg.ListenAddress)
	case cfg.LocalPort < 0 || cfg.LocalPort > 65535 || cfg.RemotePort < 0 || cfg.RemotePort > 65535:
		return nil, errors.New("a port is not between 0 and 65535")
	case cfg.ProxyIP == "":
		return nil, errors.New("no proxyIp")
	case !slices.Contains([]string{"udp", "tcp", "tls"}, cfg.Transport):
		return nil, fmt.Errorf("transport %q is not one of udp, tcp, tls", cfg.Transport)
	case !slices.Contains([]string{"off", "supported", "required"}, cfg.Reliable):
		return nil, fmt.Errorf("reliable %q is not one of off, supported, required", cfg.Reliable)
	case cfg.Transfers != "refuse" && cfg.Transfers != "accept":
		return nil, fmt.Errorf("transfers %q is not one of refuse, accept", cfg.Transfers)
	}
	t := &Trunk{srv: s, cfg: cfg, listen: netip.AddrPortFrom(addr.Unmap(), uint16(cfg.LocalPort))}
	if cfg.TLSCA != "" {
		if t.clientTLS, err = authorities(cfg.TLSCA); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func authorities(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tlsCa %s holds no certificate", file)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// withDefaults fills in what Config documents.
func (c Config) withDefaults() Config {
	set := func(p *string, d string) {
		if *p == "" {
			*p = d
		}
	}
	set(&c.AuthUser, c.Login)
	set(&c.Domain, c.ProxyIP)
	if c.Register == nil {
		yes := true
		c.Register = &yes
	}
	if c.Expires <= 0 {
		c.Expires = time.Hour
	}
	set(&c.Transport, "udp")
	if c.RemotePort == 0 && isIP(c.ProxyIP) { // else SRV records are asked for it
		c.RemotePort = 5060
		if c.Transport == "tls" {
			c.RemotePort = 5061
		}
	}
	if c.KeepAlive == 0 && *c.Register && c.Transport == "udp" {
		c.KeepAlive = 25 * time.Second
	}
	set(&c.LargeRequests, "udp")
	set(&c.Reliable, "supported")
	set(&c.Transfers, "refuse")
	set(&c.ListenAddress, "0.0.0.0")
	set(&c.MediaAddress, c.PublicAddress)
	set(&c.Strangers, "refuse")
	set(&c.NumberFrom, "auto")
	if c.TLSCert != "" && c.TLSPort == 0 {
		c.TLSPort = 5061
	}
	if c.MediaPorts == (PortRange{}) {
		c.MediaPorts = PortRange{20000, 29999}
	}
	set(&c.Latching, "auto")
	if c.MediaTimeout == 0 {
		c.MediaTimeout = time.Minute
	}
	set(&c.StreamName, "rtmp_{number}")
	set(&c.SameNumber, "suffix")
	set(&c.Audio, "aac")
	if c.AudioBitRate == 0 {
		c.AudioBitRate = 64000
	}
	return c
}

// user is that of our From, To and Contact: Login, or what stands for it.
func (t *Trunk) user() string {
	switch {
	case t.cfg.Login != "":
		return t.cfg.Login
	case t.cfg.VisibleName != "":
		return t.cfg.VisibleName
	}
	return t.cfg.Name
}

// resolveFirst looks the names up before the first request can come, for as
// long as that may hold up the start.
func (s *Server) resolveFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, t := range s.list {
		wg.Go(func() { t.resolve(ctx) })
	}
	wg.Wait()
}

// resolveOften repeats the look-ups of names: a PBX may move, or have been
// unknown at the start.
func (t *Trunk) resolveOften() {
	if isIP(t.cfg.ProxyIP) && isIP(t.cfg.PublicAddress) && isIP(t.cfg.MediaAddress) {
		return
	}
	for {
		wait := t.srv.clock.resolve
		if len(t.proxies()) == 0 {
			wait = min(wait, 5*time.Second)
		}
		if !t.srv.sleep(wait) {
			return
		}
		ctx, cancel := context.WithTimeout(t.srv.ctx, 10*time.Second)
		t.resolve(ctx)
		cancel()
	}
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return s == "" || err == nil
}

// sleep waits for d; false when the server closes before.
func (s *Server) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// resolve looks the names of the configuration up. What fails leaves the last
// addresses in force.
func (t *Trunk) resolve(ctx context.Context) {
	list, err := t.srv.resolver.Lookup(ctx, t.cfg.ProxyIP, uint16(t.cfg.RemotePort), t.cfg.Transport)
	if err == nil {
		t.proxy.Store(&list)
		if t.registrar != nil {
			t.registrar.follow(list)
		}
	} else if ctx.Err() == nil || len(t.proxies()) == 0 {
		t.srv.log.Warn("name not resolved", "trunk", t.cfg.Name, "name", t.cfg.ProxyIP, "error", err)
	}
	t.resolveOwn(ctx, t.cfg.PublicAddress, &t.public)
	t.resolveOwn(ctx, t.cfg.MediaAddress, &t.media)
}

func (t *Trunk) resolveOwn(ctx context.Context, name string, to *atomic.Pointer[netip.Addr]) {
	if name == "" {
		return
	}
	list, err := t.srv.resolver.Lookup(ctx, name, 1, "udp")
	if err != nil {
		t.srv.log.Warn("name not resolved", "trunk", t.cfg.Name, "name", name, "error", err)
		return
	}
	addr := list[0].Addr()
	to.Store(&addr)
}

func (t *Trunk) proxies() []netip.AddrPort {
	if p := t.proxy.Load(); p != nil {
		return *p
	}
	return nil
}

// knows reports whether a may call by this trunk; proxy tells that it is the
// PBX itself.
func (t *Trunk) knows(a netip.Addr) (proxy, known bool) {
	for _, p := range t.proxies() {
		if p.Addr() == a {
			return true, true
		}
	}
	for _, p := range t.cfg.Allow {
		if p.Contains(a) {
			return false, true
		}
	}
	return false, false
}

// isLocal reports whether a peer sees the local address, not the public one.
func (t *Trunk) isLocal(a netip.Addr) bool {
	return slices.ContainsFunc(t.cfg.LocalNets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// sentBy is the address in the Via of our requests to a peer.
func (t *Trunk) sentBy(remote netip.Addr) sipnet.SentBy {
	if t.cfg.PublicAddress == "" || t.isLocal(remote) {
		return sipnet.SentBy{}
	}
	return sipnet.SentBy{Host: t.cfg.PublicAddress}
}

// contact is the Contact of our messages to a peer, who is reached as to says.
func (t *Trunk) contact(to sipnet.Target, secure bool) (sip.ContactHeader, error) {
	local, err := t.sock.ep.LocalAddr(to)
	if err != nil {
		return sip.ContactHeader{}, err
	}
	remote, transport := to.Addr, to.Transport
	if to.Flow != nil {
		remote, transport = to.Flow.Remote(), to.Flow.Transport()
	}
	host := local.Addr().WithZone("").String()
	if by := t.sentBy(remote.Addr()); by.Host != "" {
		host = by.Host
	}
	h := sip.ContactHeader{Address: sip.Uri{
		Scheme: "sip", User: escapeUser(t.user()), Host: uriHost(host), Port: int(local.Port()),
	}}
	if secure {
		h.Address.Scheme = "sips"
	}
	if transport == "tcp" || transport == "tls" && !secure {
		h.Address.UriParams.Add("transport", transport)
	}
	if t.cfg.VisibleName != "" {
		h.DisplayName = escapeName(t.cfg.VisibleName)
	}
	return h, nil
}

// mediaAddr is the address for SDP towards a peer.
func (t *Trunk) mediaAddr(remote netip.AddrPort, f *sipnet.Flow) netip.Addr {
	if a := t.media.Load(); a != nil && !t.isLocal(remote.Addr()) {
		return *a
	}
	local, err := t.sock.ep.LocalAddr(sipnet.Target{Addr: remote, Flow: f})
	if err != nil {
		return netip.Addr{}
	}
	return local.Addr().WithZone("")
}

// target says how to reach a host over a transport.
func (t *Trunk) target(ctx context.Context, host string, port int, transport string) (sipnet.Target, error) {
	list, err := t.srv.resolver.Lookup(ctx, host, uint16(port), transport)
	if err != nil {
		return sipnet.Target{}, err
	}
	return t.targetOf(list, host, transport), nil
}

func (t *Trunk) targetOf(list []netip.AddrPort, host, transport string) sipnet.Target {
	to := sipnet.Target{
		Transport: transport, Addr: list[0], Others: list[1:], TLS: t.clientTLS,
		SentBy: t.sentBy(list[0].Addr()), TryTCP: t.cfg.LargeRequests == "tcp",
	}
	if !isIP(host) {
		to.Host = host
	}
	return to
}

// toProxy says how to reach the PBX.
func (t *Trunk) toProxy(ctx context.Context) (sipnet.Target, error) {
	list := t.proxies()
	if len(list) == 0 {
		return t.target(ctx, t.cfg.ProxyIP, t.cfg.RemotePort, t.cfg.Transport)
	}
	return t.targetOf(list, t.cfg.ProxyIP, t.cfg.Transport), nil
}

// toURI says how to reach the host of a URI (RFC 3263 section 4), over the
// given transport if it names none.
func (t *Trunk) toURI(ctx context.Context, uri sip.Uri, transport string) (sipnet.Target, error) {
	if v, _ := uri.UriParams.Get("transport"); v != "" {
		transport = strings.ToLower(v)
	}
	if uri.Scheme == "sips" {
		transport = "tls"
	}
	if !slices.Contains([]string{"udp", "tcp", "tls"}, transport) {
		return sipnet.Target{}, fmt.Errorf("trunk: unknown transport %q", transport)
	}
	return t.target(ctx, uri.Host, uri.Port, transport)
}
