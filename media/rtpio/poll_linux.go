package rtpio

import (
	"net/netip"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// On Linux no goroutine waits for packets: the play-out goroutine, which wakes
// at intervals anyway, takes all that have come since, many with one
// recvmmsg(2). The kernel notes when each came (SO_TIMESTAMPNS), so nothing
// is lost of the arrival times on which the jitter buffer and the timeline
// stand. A goroutine a socket costs a wake-up of the scheduler for each
// packet, which is several times what reading it does.
const polled = true

const (
	batchSize   = 16
	controlSize = 64 // holds a cmsghdr and a timespec on every architecture

	// maxBatches bounds what one tick takes from a socket: a flood must not
	// keep the play-out from its other work. 512 packets are more than
	// the burst of any picture.
	maxBatches = 32

	// maxAge is how long a packet can have waited in the socket; more is a
	// step of the system's clock.
	maxAge = time.Second
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

// batch is the memory of one recvmmsg.
type batch struct {
	messages [batchSize]mmsghdr
	vectors  [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet6 // large enough for IPv4, too
	control  [batchSize][controlSize]byte
	data     [batchSize][maxDatagram]byte
}

var batches = sync.Pool{New: func() any {
	b := new(batch)
	for i := range b.messages {
		b.vectors[i].Base = &b.data[i][0]
		b.vectors[i].SetLen(maxDatagram)
		m := &b.messages[i]
		m.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		m.Iov = &b.vectors[i]
		m.SetIovlen(1)
		m.Control = &b.control[i][0]
	}
	return b
}}

// receive fills the batch and returns how many datagrams came.
func (b *batch) receive(fd uintptr) int {
	for i := range b.messages {
		m := &b.messages[i]
		m.Namelen = uint32(unsafe.Sizeof(b.names[i]))
		m.SetControllen(controlSize)
		m.Flags = 0
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.messages[0])), batchSize,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		// Nothing there, or an ICMP error that concerns one packet of ours.
		return 0
	}
	return int(n)
}

// poll takes what has come. It is called by the play-out goroutine only.
func (r *reader) poll() {
	p := r.poller
	if p == nil {
		return
	}
	p.batch = batches.Get().(*batch)
	for more, rounds := true, 0; more && rounds < maxBatches; rounds++ {
		p.n = 0
		if err := p.raw.Read(p.read); err != nil {
			break // closed
		}
		now := time.Now()
		for i := range p.n {
			m := &p.batch.messages[i]
			from, ok := addrPort(&p.batch.names[i])
			if ok {
				r.datagram(p.batch.data[i][:m.n], from, arrival(p.batch.control[i][:m.Controllen], now))
			}
		}
		more = p.n == batchSize
	}
	batches.Put(p.batch)
	p.batch = nil
}

// addrPort is the address that the kernel wrote.
func addrPort(sa *unix.RawSockaddrInet6) (netip.AddrPort, bool) {
	// The port is in network byte order in both families, at the same place.
	port := sa.Port>>8 | sa.Port<<8
	if bigEndian {
		port = sa.Port
	}
	switch sa.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port), true
	case unix.AF_INET6:
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(zoneOf(sa.Scope_id))
		}
		return netip.AddrPortFrom(addr, port), true
	}
	return netip.AddrPort{}, false
}

var bigEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 0
}()

// arrival is when a packet came, on the monotonic clock of now.
func arrival(control []byte, now time.Time) time.Time {
	const size = unix.SizeofCmsghdr
	if len(control) < size+int(unsafe.Sizeof(unix.Timespec{})) {
		return now
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_TIMESTAMPNS {
		return now
	}
	ts := (*unix.Timespec)(unsafe.Pointer(&control[unix.CmsgLen(0)]))
	age := now.Sub(time.Unix(ts.Unix())) // by the wall clock: ts has no other
	if age < 0 || age > maxAge {
		return now
	}
	return now.Add(-age)
}
