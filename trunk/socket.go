package trunk

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
	"github.com/trunkcast/trunkcast/listener"
)

// socket is one local address and port, which trunks may share: its endpoint
// and the dialogs on it.
type socket struct {
	srv    *Server
	listen netip.AddrPort
	trunks []*Trunk
	ep     *sipnet.Endpoint

	mu      sync.Mutex
	near    map[netip.Addr]int // addresses of peers in dialogs: calls of each
	dialogs map[dialogKey]*Call
	dials   map[string]*dialling // INVITEs of ours that begin a dialog, by Call-ID and tag
}

func newSocket(s *Server, listen netip.AddrPort) *socket {
	return &socket{
		srv: s, listen: listen, near: map[netip.Addr]int{},
		dialogs: map[dialogKey]*Call{}, dials: map[string]*dialling{},
	}
}

// A call is two server transactions at least, INVITE and BYE, which are kept for
// 32 s over UDP (RFC 3261 timer J, RFC 6026 timer L): as many as that at the
// highest rate of calls, and some for what comes within calls. Below them
// requests would be refused that the limit of calls lets in.
const (
	transactionsPerCall = 2*32 + 16
	leastTransactions   = 20000
)

// prepare makes the endpoint.
func (k *socket) prepare() error {
	k.ep = &sipnet.Endpoint{
		Listen: k.listen, Listener: k.srv.Listener, Logger: k.srv.log,
		Admit: k.admit, OnRequest: k.request, OnResponse: k.response,
		Limits: sipnet.Limits{
			OrderWait: k.srv.clock.order, MessageTime: k.srv.clock.message,
			Transactions: max(leastTransactions, transactionsPerCall*k.srv.Limits.CallsPerSec),
		},
	}
	if k.srv.packets != nil {
		k.ep.Packets = k.srv.packets(k.listen)
	}
	if k.srv.Listener != nil {
		k.ep.TrunkOf = k.trunkOf
	}
	return k.prepareTLS()
}

// prepareTLS gives the endpoint the certificates of all its trunks.
func (k *socket) prepareTLS() error {
	var pairs keyPairs
	for _, t := range k.trunks {
		if t.cfg.TLSCert == "" {
			continue
		}
		pair, err := newKeyPair(t)
		if err != nil {
			return &ConfigError{Trunk: t.cfg.Name, Err: err}
		}
		at := netip.AddrPortFrom(k.listen.Addr(), uint16(t.cfg.TLSPort))
		if k.ep.TLS == nil {
			k.ep.TLS, k.ep.TLSListen = &tls.Config{MinVersion: tls.VersionTLS12}, at
		}
		if k.ep.TLSListen != at {
			return &ConfigError{Trunk: t.cfg.Name, Err: fmt.Errorf("tlsPort %d, but the trunks that share localPort %d have %d",
				at.Port(), k.listen.Port(), k.ep.TLSListen.Port())}
		}
		pairs = append(pairs, pair)
		k.ep.TLS.GetCertificate = pairs.choose
	}
	return nil
}

// start opens the ports.
func (k *socket) start() error {
	first := k.trunks[0]
	err := k.ep.Start(k.srv.ctx)
	var l *sipnet.ListenError
	if errors.As(err, &l) {
		return &ListenError{Trunk: first.cfg.Name, Transport: l.Transport, Addr: l.Addr, Err: l.Err}
	}
	if err != nil {
		return err
	}
	k.srv.log.Info("listening", "trunk", first.cfg.Name, "local_addr", k.ep.Addr())
	k.srv.spawn(k.watch)
	return nil
}

// watch ends the server when a socket fails: half a server is worse than one
// that its supervisor starts anew.
func (k *socket) watch() {
	select {
	case <-k.ep.Done():
		if k.srv.ctx.Err() == nil {
			k.srv.stop(k.ep.Err())
		}
	case <-k.srv.ctx.Done():
	}
}

// stop ends the socket and does not wait.
func (k *socket) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.dialogs)
	clear(k.near)
	for _, d := range k.dials {
		d.forget.Stop()
	}
	clear(k.dials)
}

// admit is the door for addresses: those of the trunks come in, and those that
// a dialog names.
func (k *socket) admit(remote netip.AddrPort, _ string) sipnet.Verdict {
	verdict := sipnet.Refuse
	for _, t := range k.trunks {
		if _, known := t.knows(remote.Addr()); known {
			return sipnet.Accept
		}
		if t.cfg.Strangers == "silent" {
			verdict = sipnet.Silent
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.near[remote.Addr()] > 0 {
		return sipnet.Accept
	}
	return verdict
}

// admitPeers lets the addresses that the dialog of a call names in for as long
// as the call lasts: a phone may say BYE without its PBX.
func (c *Call) admitPeers(uris []sip.Uri, more ...netip.Addr) {
	for _, u := range uris {
		if a, err := netip.ParseAddr(strings.Trim(u.Host, "[]")); err == nil {
			more = append(more, a.Unmap())
		}
	}
	c.mu.Lock()
	c.near = append(c.near, more...)
	c.mu.Unlock()
	c.sock.mu.Lock()
	defer c.sock.mu.Unlock()
	for _, a := range more {
		c.sock.near[a]++
	}
}

func (k *socket) unadmit(list []netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range list {
		if k.near[a]--; k.near[a] <= 0 {
			delete(k.near, a)
		}
	}
}

// trunkOf names the trunk of a message for the listener.
func (k *socket) trunkOf(m *listener.Message) string {
	if t := k.trunkFor(m.Remote, m.Request); t != nil {
		return t.cfg.Name
	}
	return ""
}

// trunkFor finds the trunk of a peer: by its address; of several trunks with
// the same PBX by its port, and then by who is called: the user each has
// registered.
func (k *socket) trunkFor(remote netip.AddrPort, req *sip.Request) *Trunk {
	var found, allowed []*Trunk
	for _, t := range k.trunks {
		switch proxy, known := t.knows(remote.Addr()); {
		case proxy:
			found = append(found, t)
		case known:
			allowed = append(allowed, t)
		}
	}
	if len(found) == 0 {
		found = allowed
	}
	if len(found) < 2 {
		return firstOf(found)
	}
	if same := having(found, func(t *Trunk) bool { return t.hasProxy(remote) }); len(same) > 0 {
		found = same
	}
	if req == nil {
		return found[0]
	}
	for _, user := range []string{userOf(req.Recipient), userOf(req.To().Address)} {
		if same := having(found, func(t *Trunk) bool { return t.user() == user }); len(same) > 0 {
			return same[0]
		}
	}
	return found[0]
}

func firstOf(list []*Trunk) *Trunk {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func having(list []*Trunk, f func(*Trunk) bool) []*Trunk {
	var found []*Trunk
	for _, t := range list {
		if f(t) {
			found = append(found, t)
		}
	}
	return found
}

func (t *Trunk) hasProxy(a netip.AddrPort) bool {
	for _, p := range t.proxies() {
		if p == a {
			return true
		}
	}
	return false
}

// enter makes the requests of a dialog find their call.
func (k *socket) enter(key dialogKey, c *Call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dialogs[key] = c
}

func (k *socket) leave(key dialogKey, c *Call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dialogs[key] == c {
		delete(k.dialogs, key)
	}
}

func (k *socket) find(key dialogKey) *Call {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dialogs[key]
}
