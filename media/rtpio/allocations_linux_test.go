package rtpio

import (
	"encoding/binary"
	"net"
	"testing"
)

// TestPollAllocates: a socket that is polled allocates nothing, however many
// datagrams are there.
func TestPollAllocates(t *testing.T) {
	to := listenLoopback(t, "127.0.0.1")
	from, err := net.DialUDP("udp", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	_, readers := answered(t, from.LocalAddr().(*net.UDPAddr).AddrPort(), staticAudio)
	r := &reader{l: readers[0].l, conn: to}
	if r.poller, err = newPoller(to); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, rtpHeaderSize) // without sound: no frame comes of it
	b[0] = 0x80
	sent := uint16(0)
	send := func() {
		for range batchSize + 1 {
			sent++
			binary.BigEndian.PutUint16(b[2:], sent)
			if _, err := from.Write(b); err != nil {
				t.Error(err)
			}
		}
		r.poll()
	}
	send()
	if n := testing.AllocsPerRun(50, send); n > 0 {
		t.Errorf("%v allocations for %d packets", n, batchSize+1)
	}
	if st := r.l.s.Stats().Lines[0].Received; st.Packets < uint64(sent)*9/10 {
		t.Errorf("%d of %d packets", st.Packets, sent)
	}
}
