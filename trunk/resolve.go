package trunk

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

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
