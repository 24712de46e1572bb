package rtpio

import (
	"net/netip"
	"time"
)

// Latching tells where packets for the caller go to and which are taken from
// it.
type Latching uint8

const (
	// LatchAuto sends to the address of the SDP until valid packets come from
	// another one, which is then followed. A line is locked to one source at a
	// time. The address of the SDP takes the lock whenever packets come from
	// it. Any other source takes it only if there is none, after a re-INVITE,
	// or after silence: 1 s if it goes on with the SSRC and sequence numbers
	// of the one before (a NAT that changed its mind), else 5 s; with SRTP,
	// where packets prove who sent them, at once.
	LatchAuto Latching = iota
	// LatchOn is LatchAuto, but never sends to the address of the SDP.
	LatchOn
	// LatchOff sends to the address of the SDP only, and takes packets from
	// its IP address only (any port).
	LatchOff
)

const (
	relatchSame  = time.Second     // silence before the same SSRC may move
	relatchOther = 5 * time.Second // silence before anybody may take over
	// moveWindow is how long after a re-INVITE another source is followed,
	// and packets go to a new address in the SDP while the old source lives.
	moveWindow = 5 * time.Second
	// seqWindow is how far a moved source may have gone on.
	seqWindow = 3000
)

// latch is the rule that [Latching] states, for one m-line. It is a value
// without a clock: now is given.
type latch struct {
	mode   Latching
	secure bool // packets are authenticated

	signalled, signalledRTCP netip.AddrPort
	known                    netip.Addr // last valid address of signalled
	mux                      bool

	locked    netip.AddrPort // source of RTP
	ssrc      uint32
	seq       uint16
	heard     time.Time // last packet of locked
	moveUntil time.Time // another source may take over until then
	newUntil  time.Time // signalled is newer than locked until then

	lockedRTCP netip.AddrPort
}

// signal takes the addresses of a new agreement; refresh tells that it changed
// nothing.
func (l *latch) signal(rtp, rtcp netip.AddrPort, mux, refresh bool, now time.Time) {
	if l.known.IsValid() && !refresh {
		l.moveUntil = now.Add(moveWindow)
		if rtp.IsValid() && rtp != l.signalled {
			l.newUntil = now.Add(moveWindow)
		}
		l.lockedRTCP = netip.AddrPort{}
	}
	l.signalled, l.signalledRTCP, l.mux = rtp, rtcp, mux
	if rtp.IsValid() {
		l.known = rtp.Addr()
	}
}

// accept tells whether a valid RTP packet is taken, and moves the lock.
// moved tells that the lock is new.
func (l *latch) accept(from netip.AddrPort, ssrc uint32, seq uint16, now time.Time) (ok, moved bool) {
	if l.mode == LatchOff {
		if from.Addr() != l.known {
			return false, false
		}
	} else if from != l.locked && !l.mayMove(from, ssrc, seq, now) {
		return false, false
	}
	moved = from != l.locked
	if moved {
		l.locked, l.moveUntil, l.newUntil = from, time.Time{}, time.Time{}
		l.lockedRTCP = netip.AddrPort{}
	}
	l.ssrc, l.seq, l.heard = ssrc, seq, now
	return true, moved
}

func (l *latch) mayMove(from netip.AddrPort, ssrc uint32, seq uint16, now time.Time) bool {
	switch silence := now.Sub(l.heard); {
	case !l.locked.IsValid(), l.secure, from == l.signalled, now.Before(l.moveUntil), silence >= relatchOther:
		return true
	case silence >= relatchSame:
		return ssrc == l.ssrc && seq-l.seq < seqWindow
	default:
		return false
	}
}

// acceptRTCP tells whether an RTCP packet is taken: from the host that RTP
// comes from, the one in the SDP, or, while there is neither, the first.
func (l *latch) acceptRTCP(from netip.AddrPort) bool {
	ok := from.Addr() == l.known || l.secure
	if l.mode != LatchOff {
		ok = ok || from.Addr() == l.locked.Addr() ||
			!l.locked.IsValid() && (!l.lockedRTCP.IsValid() || from == l.lockedRTCP)
	}
	if ok && l.mode != LatchOff {
		l.lockedRTCP = from
	}
	return ok
}

// destination is where RTP goes to; invalid if nowhere.
func (l *latch) destination(now time.Time) netip.AddrPort {
	fresh := l.mode == LatchAuto && l.signalled.IsValid() && now.Before(l.newUntil)
	switch {
	case l.mode == LatchOff || fresh:
		return l.signalled
	case l.locked.IsValid():
		return l.locked
	case l.mux && l.lockedRTCP.IsValid():
		// A caller that only receives shows its way through a NAT by reports.
		return l.lockedRTCP
	case l.mode == LatchAuto:
		return l.signalled
	default:
		return netip.AddrPort{}
	}
}

// destinationRTCP is where RTCP goes to; invalid if nowhere.
func (l *latch) destinationRTCP(now time.Time) netip.AddrPort {
	switch {
	case l.mux:
		return l.destination(now)
	case l.mode != LatchOff && l.lockedRTCP.IsValid():
		return l.lockedRTCP
	case l.mode != LatchOff && l.locked.IsValid() && l.locked.Addr() != l.signalled.Addr() && !now.Before(l.newUntil):
		return netip.AddrPortFrom(l.locked.Addr(), l.locked.Port()+1)
	case l.mode == LatchOn:
		return netip.AddrPort{}
	default:
		return l.signalledRTCP
	}
}
