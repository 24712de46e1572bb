package rtpio

import (
	"net/netip"
	"testing"
	"time"
)

var (
	addrSDP   = netip.MustParseAddrPort("10.0.0.5:4000")
	addrRTCP  = netip.MustParseAddrPort("10.0.0.5:4001")
	addrNAT   = netip.MustParseAddrPort("198.51.100.7:30000")
	addrMoved = netip.MustParseAddrPort("198.51.100.7:30100")
	addrEvil  = netip.MustParseAddrPort("203.0.113.66:666")
)

// latchStep is a packet or a negotiation, and what must hold after it.
type latchStep struct {
	after  time.Duration // since the step before
	signal bool
	rtp    netip.AddrPort // of signal
	same   bool           // a refresh
	from   netip.AddrPort
	ssrc   uint32
	seq    uint16
	want   bool
	to     netip.AddrPort // destination
}

func TestLatch(t *testing.T) {
	t.Parallel()
	none := netip.AddrPort{}
	offer := latchStep{signal: true, rtp: addrSDP, to: addrSDP}
	for name, c := range map[string]struct {
		latch latch
		steps []latchStep
	}{
		"as the SDP says": {steps: []latchStep{offer,
			{from: addrSDP, ssrc: 1, seq: 1, want: true, to: addrSDP}}},
		"behind a NAT": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 1, want: true, to: addrNAT}}},
		"a third address cannot steal": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 1, want: true, to: addrNAT},
			{after: 20 * time.Millisecond, from: addrEvil, ssrc: 9, seq: 1, to: addrNAT},
			{after: 20 * time.Millisecond, from: addrEvil, ssrc: 1, seq: 2, to: addrNAT},
			{after: 900 * time.Millisecond, from: addrEvil, ssrc: 1, seq: 3, to: addrNAT}}},
		"the address of the SDP takes back": {steps: []latchStep{offer,
			{from: addrEvil, ssrc: 9, seq: 1, want: true, to: addrEvil},
			{from: addrSDP, ssrc: 1, seq: 1, want: true, to: addrSDP},
			{from: addrEvil, ssrc: 9, seq: 2, to: addrSDP}}},
		"a NAT changes its mind": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{after: 1100 * time.Millisecond, from: addrMoved, ssrc: 1, seq: 155, want: true, to: addrMoved}}},
		"another SSRC after a short silence": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{after: 1100 * time.Millisecond, from: addrEvil, ssrc: 2, seq: 155, to: addrNAT}}},
		"old sequence numbers after a short silence": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{after: 1100 * time.Millisecond, from: addrEvil, ssrc: 1, seq: 99, to: addrNAT}}},
		"another after a long silence": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{after: 5 * time.Second, from: addrMoved, ssrc: 2, seq: 1, want: true, to: addrMoved}}},
		"another after a re-INVITE": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{signal: true, rtp: addrSDP, to: addrNAT},
			{from: addrMoved, ssrc: 2, seq: 1, want: true, to: addrMoved},
			{from: addrEvil, ssrc: 3, seq: 1, to: addrMoved}}},
		"not after a refresh": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{signal: true, same: true, rtp: addrSDP, to: addrNAT},
			{from: addrMoved, ssrc: 2, seq: 1, to: addrNAT}}},
		"a new address in the SDP is used at once": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{signal: true, rtp: addrMoved, to: addrMoved},
			{from: addrNAT, ssrc: 1, seq: 101, want: true, to: addrMoved},
			{from: addrMoved, ssrc: 1, seq: 102, want: true, to: addrMoved},
			{from: addrNAT, ssrc: 1, seq: 103, to: addrMoved}}},
		"and given up if only the old source lives": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{signal: true, rtp: addrMoved, to: addrMoved},
			{after: 6 * time.Second, from: addrNAT, ssrc: 1, seq: 101, want: true, to: addrNAT}}},
		"hold and resume keep the source": {steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{signal: true, rtp: none, to: addrNAT},
			{after: time.Minute, signal: true, rtp: addrSDP, to: addrSDP},
			{from: addrNAT, ssrc: 1, seq: 101, want: true, to: addrSDP}}},
		"encrypted packets prove themselves": {latch: latch{secure: true}, steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT},
			{from: addrMoved, ssrc: 1, seq: 101, want: true, to: addrMoved}}},
		"on: never to the SDP": {latch: latch{mode: LatchOn}, steps: []latchStep{
			{signal: true, rtp: addrSDP, to: none},
			{from: addrNAT, ssrc: 1, seq: 100, want: true, to: addrNAT}}},
		"off: only the SDP": {latch: latch{mode: LatchOff}, steps: []latchStep{offer,
			{from: addrNAT, ssrc: 1, seq: 100, to: addrSDP},
			{from: netip.MustParseAddrPort("10.0.0.5:9999"), ssrc: 1, seq: 100, want: true, to: addrSDP}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, now := c.latch, time.Unix(1e9, 0)
			for i, step := range c.steps {
				now = now.Add(step.after)
				if step.signal {
					rtcp := netip.AddrPort{}
					if step.rtp.IsValid() {
						rtcp = netip.AddrPortFrom(step.rtp.Addr(), step.rtp.Port()+1)
					}
					l.signal(step.rtp, rtcp, false, step.same, now)
				} else if got, _ := l.accept(step.from, step.ssrc, step.seq, now); got != step.want {
					t.Fatalf("step %d: accepted %v from %v", i, got, step.from)
				}
				if got := l.destination(now); got != step.to {
					t.Fatalf("step %d: packets go to %v, want %v", i, got, step.to)
				}
			}
		})
	}
}

func TestLatchRTCP(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var l latch
	l.signal(addrSDP, addrRTCP, false, false, now)
	if got := l.destinationRTCP(now); got != addrRTCP {
		t.Errorf("before all: %v", got)
	}
	l.accept(addrNAT, 1, 1, now)
	if got, want := l.destinationRTCP(now), netip.AddrPortFrom(addrNAT.Addr(), addrNAT.Port()+1); got != want {
		t.Errorf("after RTP from elsewhere: %v, want %v", got, want)
	}
	if l.acceptRTCP(addrEvil) {
		t.Error("a stranger's report is taken")
	}
	from := netip.AddrPortFrom(addrNAT.Addr(), 31337)
	if !l.acceptRTCP(from) || l.destinationRTCP(now) != from {
		t.Errorf("reports are not followed: %v", l.destinationRTCP(now))
	}

	// A caller that only receives is found by its reports, if they share the
	// port.
	l = latch{}
	l.signal(addrSDP, addrSDP, true, false, now)
	if !l.acceptRTCP(addrNAT) || l.destination(now) != addrNAT {
		t.Errorf("destination by reports: %v", l.destination(now))
	}
	if l.acceptRTCP(addrEvil) {
		t.Error("a second stranger's report is taken")
	}
}
