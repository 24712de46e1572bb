package trunk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

const (
	registerTime  = 35 * time.Second // longest for one REGISTER with its challenges: 64*T1 and some
	maxRetryAfter = time.Hour
	minRefresh    = 5 * time.Second
)

// errNotFound is for a registrar whose name has no address.
var errNotFound = errors.New("trunk: registrar not found")

// registrar keeps the registration of one trunk (RFC 3261 section 10.2). All
// REGISTERs have one Call-ID. What becomes of it never touches calls.
type registrar struct {
	t      *Trunk
	callID string
	tag    string
	ctx    context.Context // ends with remove or Close
	stop   context.CancelFunc
	ended  chan struct{} // closed when run has returned

	moved   chan struct{} // of one: the PBX is no more where we have registered
	mu      sync.Mutex
	at      netip.AddrPort // who has our address; not valid: nobody
	state   Registration
	seq     uint32
	expires time.Duration // to ask for: that of the configuration, or what the registrar wants at least
}

func newRegistrar(t *Trunk) *registrar {
	r := &registrar{
		t: t, callID: rand.Text(), tag: rand.Text(), expires: t.cfg.Expires, ended: make(chan struct{}),
		moved: make(chan struct{}, 1),
		state: Registration{State: Registering, Since: time.Now()},
	}
	r.ctx, r.stop = context.WithCancel(t.srv.ctx)
	return r
}

func (r *registrar) now() Registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// run registers, and again before the binding ends, until remove or Close.
func (r *registrar) run() {
	defer close(r.ended)
	failed, refused := 0, 0
	for {
		// Each address of the PBX has its time.
		ctx, cancel := context.WithTimeout(r.ctx, registerTime*time.Duration(max(1, len(r.t.proxies()))))
		granted, res, err := r.register(ctx, r.wanted())
		cancel()
		if r.ctx.Err() != nil {
			return
		}
		var wait time.Duration
		if err != nil {
			clock, login := r.t.srv.clock, (*LoginError)(nil)
			if errors.As(err, &login) {
				// What was refused will be again, until somebody changes it.
				refused, failed = refused+1, 0
				wait = backoff(clock.login, clock.maxLogin, refused, res)
			} else {
				failed++
				wait = backoff(clock.backoff, clock.maxBackoff, failed, res)
			}
			r.failed(res, err, wait)
		} else {
			failed, refused = 0, 0
			wait = refreshAfter(granted)
			r.registered(granted, wait)
		}
		if !r.pause(wait) {
			return
		}
	}
}

func (r *registrar) wanted() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expires
}

func (r *registrar) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.moved:
		return true
	case <-r.ctx.Done():
	}
	return false
}

// place is who has our address; not valid while nobody has.
func (r *registrar) place() netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// follow registers at once with a PBX that has moved away from where we are
// registered.
func (r *registrar) follow(list []netip.AddrPort) {
	if at := r.place(); !at.IsValid() || slices.Contains(list, at) {
		return
	}
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// refreshAfter is when to register again: at 80 to 90 % of the time granted,
// so that many trunks do not come at once, and there is time for another try.
func refreshAfter(granted time.Duration) time.Duration {
	return max(jitter(granted*85/100, 0.05), min(minRefresh, granted/2))
}

// jitter spreads d by the given part of it, up and down.
func jitter(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 + part*(2*mrand.Float64()-1)))
}

// backoff is how long to wait after so many failures in a row: first, then twice
// as long each time, up to most; at least what
// the registrar asks for.
func backoff(first, most time.Duration, failed int, res *sip.Response) time.Duration {
	wait := jitter(min(first<<min(failed-1, 16), most), 0.2)
	if res == nil {
		return wait
	}
	if n, ok := seconds(headerValue(res, "Retry-After")); ok {
		wait = max(wait, min(time.Duration(n)*time.Second, maxRetryAfter))
	}
	return wait
}

func (r *registrar) registered(granted, wait time.Duration) {
	now := time.Now()
	r.set(Registration{State: Registered, Expires: now.Add(granted), Next: now.Add(wait), Code: 200})
}

func (r *registrar) failed(res *sip.Response, err error, wait time.Duration) {
	s := Registration{State: RegistrationFailed, Next: time.Now().Add(wait), Err: err}
	if res != nil {
		s.Code = res.StatusCode
	}
	level := slog.LevelWarn
	if errors.Is(err, errNotFound) {
		level = slog.LevelDebug // resolve has warned of it
	}
	r.t.srv.log.Log(r.ctx, level, "registration failed", "trunk", r.t.cfg.Name, "code", s.Code, "error", err, "again_in", wait)
	r.set(s)
}

// set notes a state, and tells of it if it is another one.
func (r *registrar) set(s Registration) {
	r.mu.Lock()
	old := r.state
	s.Since = time.Now()
	if old.State == s.State && old.Code == s.Code {
		s.Since = old.Since
	}
	r.state = s
	r.mu.Unlock()
	if old.State == s.State && old.Code == s.Code {
		return
	}
	switch {
	case s.Err != nil: // it is logged each time
	case s.State == Unregistered:
		if old.State == Registered {
			r.t.srv.log.Info("registration removed", "trunk", r.t.cfg.Name)
		}
	default:
		r.t.srv.log.Info("registration", "trunk", r.t.cfg.Name, "state", s.State.String(), "expires", s.Expires)
	}
	if f := r.t.srv.OnRegistration; f != nil {
		_ = contain(r.t.srv.log, func() error { f(r.t, s); return nil })
	}
}

// String is the state in lower case, for logs and metrics.
func (s RegistrationState) String() string {
	switch s {
	case Registering:
		return "registering"
	case Registered:
		return "registered"
	case RegistrationFailed:
		return "failed"
	}
	return "unregistered"
}

// remove ends the registration (RFC 3261 section 10.2.2).
func (r *registrar) remove(ctx context.Context) {
	r.stop()
	select {
	case <-r.ended:
	case <-ctx.Done():
		return
	}
	if r.now().State != Registered {
		r.set(Registration{})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.t.srv.clock.unregister)
	defer cancel()
	if _, _, err := r.register(ctx, 0); err != nil {
		r.t.srv.log.Info("registration not removed", "trunk", r.t.cfg.Name, "error", err)
	}
	r.set(Registration{})
}

// register sends a REGISTER and returns how long the binding lasts. A
// challenge and a 423 are answered; each address of the registrar is tried.
// The response is that which failed.
func (r *registrar) register(ctx context.Context, expires time.Duration) (time.Duration, *sip.Response, error) {
	to, err := r.t.toProxy(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errNotFound, err)
	}
	auth, others, brief := r.t.credentials(), to.Others, false
	for {
		req, err := r.request(to, expires)
		if err != nil {
			return 0, nil, err
		}
		auth.sign(req)
		res, err := r.exchange(ctx, req, to)
		switch {
		case err == nil && res.StatusCode < 300:
			return granted(req, res, expires), nil, nil
		case err == nil && auth.learn(res):
			continue
		case err == nil && res.StatusCode == 423 && !brief && expires > 0:
			if expires, brief = r.longer(res, expires), true; expires > 0 {
				continue
			}
		case next(res, err) && len(others) > 0 && ctx.Err() == nil:
			to.Addr, others = others[0], others[1:]
			to.Others = others
			continue
		}
		if err != nil {
			return 0, nil, fmt.Errorf("trunk: register: %w", err)
		}
		if why := auth.blame(res); why != nil {
			return 0, res, &LoginError{Login: r.t.user(), Server: to.Addr.String(), Cause: why, Status: statusError(res)}
		}
		return 0, res, statusError(res)
	}
}

func (r *registrar) exchange(ctx context.Context, req *sip.Request, to sipnet.Target) (*sip.Response, error) {
	tx, err := r.t.sock.ep.Request(ctx, req, to)
	if err != nil {
		return nil, err
	}
	res, err := final(ctx, tx)
	r.mu.Lock()
	r.at = netip.AddrPort{}
	if err == nil && res.StatusCode < 300 {
		r.at = tx.Flow().Remote()
	}
	r.mu.Unlock()
	if errors.Is(err, ctx.Err()) {
		tx.Terminate()
	}
	return res, err
}

// request makes a REGISTER.
func (r *registrar) request(to sipnet.Target, expires time.Duration) (*sip.Request, error) {
	cfg := r.t.cfg
	contact, err := r.t.contact(to, false)
	if err != nil {
		return nil, err
	}
	aor := sip.Uri{Scheme: "sip", User: escapeUser(r.t.user()), Host: uriHost(cfg.Domain)}
	r.mu.Lock()
	r.seq++
	seq := r.seq
	r.mu.Unlock()
	req := sip.NewRequest(sip.REGISTER, sip.Uri{Scheme: "sip", Host: uriHost(cfg.Domain)})
	req.AppendHeader(&sip.FromHeader{DisplayName: escapeName(cfg.VisibleName), Address: aor, Params: withTag(r.tag)})
	req.AppendHeader(&sip.ToHeader{DisplayName: escapeName(cfg.VisibleName), Address: aor})
	id := sip.CallIDHeader(r.callID)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: sip.REGISTER})
	req.AppendHeader(&contact)
	req.AppendHeader(sip.NewHeader("Expires", strconv.Itoa(int(expires.Seconds()))))
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	return req, nil
}

// longer is what a 423 asks for; 0 if that is out of reason.
func (r *registrar) longer(res *sip.Response, asked time.Duration) time.Duration {
	n, ok := seconds(headerValue(res, "Min-Expires"))
	least := time.Duration(n) * time.Second
	if !ok || least <= asked || least > 7*24*time.Hour {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expires = least
	return least
}

// granted is how long our binding lasts: what its Contact says, else the
// Expires header, else what we asked for (RFC 3261 section 10.2.4).
func granted(req *sip.Request, res *sip.Response, asked time.Duration) time.Duration {
	limit := func(n int) time.Duration { return max(time.Duration(n)*time.Second, time.Second) }
	own := req.Contact().Address
	for _, h := range res.GetHeaders("Contact") {
		c, ok := h.(*sip.ContactHeader)
		if !ok || c.Address.User != own.User || c.Address.Host != own.Host || c.Address.Port != own.Port {
			continue
		}
		if v, ok := c.Params.Get("expires"); ok {
			if n, ok := seconds(v); ok {
				return limit(n)
			}
		}
	}
	if n, ok := seconds(headerValue(res, "Expires")); ok {
		return limit(n)
	}
	return max(asked, time.Second)
}
