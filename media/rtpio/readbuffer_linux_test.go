package rtpio

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestBurst sends the packets of a large key frame at once: none is lost until
// the next look at the socket, or else the socket is not polled.
func TestBurst(t *testing.T) {
	const packets = 400
	ports := &Ports{Addr: netip.MustParseAddr("127.0.0.1"), Quarantine: -1}
	pair, err := ports.open(sdp.Video, true)
	if err != nil {
		t.Fatal(err)
	}
	defer pair.release()
	defer pair.stop()
	p, ok := pair.rtp.(*poller)
	if !ok {
		t.Skip("the system grants no buffer that is large enough: a goroutine waits for pictures")
	}
	from, err := net.Dial("udp", netip.AddrPortFrom(ports.Addr, uint16(pair.port)).String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for range packets {
		if _, err := from.Write(make([]byte, 1200)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(calmInterval)
	came := 0
	for {
		p.batch = batches.Get().(*batch)
		if err := p.raw.Read(p.read); err != nil {
			t.Fatal(err)
		}
		batches.Put(p.batch)
		if p.n == 0 {
			break
		}
		came += p.n
	}
	if came != packets {
		t.Errorf("%d of %d packets", came, packets)
	}
}

// TestSmallBuffer: pictures are not polled from a socket that cannot hold them.
func TestSmallBuffer(t *testing.T) {
	ports := &Ports{Addr: netip.MustParseAddr("127.0.0.1"), Quarantine: -1, ReadBuffer: 64 << 10}
	for kind, polled := range map[sdp.Kind]bool{sdp.Video: false, sdp.Audio: true} {
		pair, err := ports.open(kind, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := pair.rtp.(*poller); ok != polled {
			t.Errorf("%s: polled %v", kind, ok)
		}
		if _, ok := pair.rtcp.(*poller); !ok {
			t.Errorf("%s: RTCP is not polled", kind)
		}
		pair.stop()
		pair.release()
	}
}
