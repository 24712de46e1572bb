package trunk

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
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
	case !slices.Contains([]string{"refuse", "accept", "follow"}, cfg.Transfers):
		return nil, fmt.Errorf("transfers %q is not one of refuse, accept, follow", cfg.Transfers)
	case cfg.EarlyMedia < 0:
		return nil, fmt.Errorf("earlyMedia %v is negative", cfg.EarlyMedia)
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
