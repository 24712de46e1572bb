package rtpio

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestPoll reads what has come to a socket, more than a batch holds, with
// sources and the times of arrival as the kernel saw them.
func TestPoll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ network, local, remote string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp", "[::]:0", "127.0.0.1"}, // IPv4 mapped into IPv6
		{"udp6", "[::1]:0", "::1"},
	} {
		t.Run(c.network+" "+c.local, func(t *testing.T) {
			addr, err := net.ResolveUDPAddr(c.network, c.local)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.ListenUDP(c.network, addr)
			if err != nil {
				t.Skipf("no %s here: %v", c.network, err) // systems without IPv6
			}
			local := netip.MustParseAddrPort(conn.LocalAddr().String())
			p, err := newPoller(conn)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			to := netip.AddrPortFrom(netip.MustParseAddr(c.remote), local.Port())
			from, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			// The kernel begins to take times a moment after the first socket of
			// the system wanted them.
			eventually(t, "timestamps", func() bool {
				_, _ = from.Write([]byte("first"))
				time.Sleep(30 * time.Millisecond)
				p.batch = batches.Get().(*batch)
				defer batches.Put(p.batch)
				if err := p.raw.Read(p.read); err != nil || p.n == 0 {
					return false
				}
				now := time.Now()
				return now.Sub(arrival(p.batch.control[0][:p.batch.messages[0].Controllen], now)) > 20*time.Millisecond
			})
			const sent = batchSize + 3
			for i := range sent {
				if _, err := fmt.Fprintf(from, "packet %d", i); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(30 * time.Millisecond) // the age that the packets shall have
			source := netip.MustParseAddrPort(from.LocalAddr().String())
			got := 0
			for got < sent {
				p.batch = batches.Get().(*batch)
				if err := p.raw.Read(p.read); err != nil || p.n == 0 {
					t.Fatalf("%d of %d packets, %v", got, sent, err)
				}
				now := time.Now()
				for i := range p.n {
					m := &p.batch.messages[i]
					if text := string(p.batch.data[i][:m.n]); text != fmt.Sprintf("packet %d", got) {
						t.Errorf("packet %d: %q", got, text)
					}
					if a, ok := addrPort(&p.batch.names[i]); !ok || a != source {
						t.Errorf("source %v, want %v", a, source)
					}
					age := now.Sub(arrival(p.batch.control[i][:m.Controllen], now))
					if age < 30*time.Millisecond || age > maxAge {
						t.Errorf("packet %d is %v old", got, age)
					}
					got++
				}
				batches.Put(p.batch)
			}
			p.batch = batches.Get().(*batch)
			if err := p.raw.Read(p.read); err != nil || p.n != 0 {
				t.Errorf("an empty socket gives %d packets, %v", p.n, err)
			}
		})
	}
}

func TestArrivalWithoutTimestamp(t *testing.T) {
	now := time.Now()
	for _, control := range [][]byte{nil, make([]byte, 8), make([]byte, controlSize)} {
		if got := arrival(control, now); !got.Equal(now) {
			t.Errorf("%x: %v", control, got)
		}
	}
}

func BenchmarkPollEmpty(b *testing.B) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	r := &reader{}
	if r.poller, err = newPoller(conn); err != nil {
		b.Fatal(err)
	}
	defer r.poller.Close()
	b.ReportAllocs()
	for b.Loop() {
		r.poll()
	}
}

func TestTicks(t *testing.T) {
	for _, interval := range []time.Duration{calmInterval, busyInterval} {
		for slot := range time.Duration(slotCount) {
			offset := slot * slotLength
			for _, at := range []time.Duration{0, time.Millisecond, 19 * time.Millisecond, time.Hour} {
				now := epoch.Add(time.Second + at)
				d := untilTick(now, offset, interval)
				if d <= 0 || d > interval || (now.Add(d).Sub(epoch)-offset)%interval != 0 {
					t.Errorf("slot %d of %v at %v: %v", slot, interval, at, d)
				}
			}
		}
	}
}

// TestInterval: a session wakes more often while packets are asked for again.
func TestInterval(t *testing.T) {
	s := &Session{}
	l := &line{s: s}
	now := epoch.Add(time.Hour)
	check := func(when string, want time.Duration) {
		t.Helper()
		l.noteRepair(now)
		if got := s.interval(now); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	check("at first", calmInterval)
	l.counts.nacks++
	check("a packet was asked for", busyInterval)
	now = now.Add(busyTime - 1)
	check("a little later", busyInterval)
	now = now.Add(1)
	check("no other was", calmInterval)
	l.sending.Store(true)
	check("pictures are sent", busyInterval)
	now = now.Add(time.Hour)
	check("still", busyInterval)
}
