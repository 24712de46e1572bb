package trunk

import "net/netip"

// keepAlive sends an empty datagram to the PBX now and then, so that a NAT or
// firewall on the way lets its calls in (RFC 5626 section 4.4 in the manner of
// phones: two line ends).
func (t *Trunk) keepAlive() {
	for t.srv.sleep(t.cfg.KeepAlive) {
		to := t.keptAlive()
		if !to.IsValid() {
			continue
		}
		if err := t.sock.ep.Ping(to); err != nil {
			t.srv.log.Debug("keep-alive not sent", "trunk", t.cfg.Name, "error", err)
		}
	}
}

// keptAlive is where keep-alives go: to the registrar that has our address, else
// to the first address of the PBX.
func (t *Trunk) keptAlive() netip.AddrPort {
	if t.registrar != nil {
		if at := t.registrar.place(); at.IsValid() {
			return at
		}
	}
	if list := t.proxies(); len(list) > 0 {
		return list[0]
	}
	return netip.AddrPort{}
}
