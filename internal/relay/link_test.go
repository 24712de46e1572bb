package relay

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// arrival is a packet that came out of a link.
type arrival struct {
	number, channel int
	after           time.Duration
}

// send puts n packets of size bytes into a link, one each interval, and
// returns what comes out, in a bubble of virtual time.
func send(t *testing.T, i Impairments, seed uint64, n, size int, interval time.Duration) (out []arrival, s Stats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := NewLink(i, seed, func(channel int, packet []byte) {
			out = append(out, arrival{int(packet[0])<<8 | int(packet[1]), channel, time.Since(start)})
		})
		for k := range n {
			packet := make([]byte, size)
			packet[0], packet[1] = byte(k>>8), byte(k)
			l.Send(k%2, packet)
			time.Sleep(interval)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		l.Close()
		s = l.Stats()
	})
	return out, s
}

const step = 10 * time.Millisecond

func TestLinkIsTransparent(t *testing.T) {
	out, s := send(t, Impairments{}, 1, 1000, 100, step)
	if s != (Stats{Received: 1000, Sent: 1000}) {
		t.Errorf("%+v", s)
	}
	for k, a := range out {
		if a != (arrival{k, k % 2, time.Duration(k) * step}) {
			t.Fatalf("packet %d came as %+v", k, a)
		}
	}
}

func TestLinkDelayAndJitterKeepTheOrder(t *testing.T) {
	out, s := send(t, Impairments{Delay: 50 * time.Millisecond, Jitter: 80 * time.Millisecond}, 7, 1000, 100, step)
	if s.Sent != 1000 {
		t.Fatalf("%+v", s)
	}
	var least, most = time.Hour, time.Duration(0)
	for k, a := range out {
		late := a.after - time.Duration(k)*step
		if a.number != k {
			t.Fatalf("packet %d came in the place of %d", a.number, k)
		}
		least, most = min(least, late), max(most, late)
	}
	if least < 50*time.Millisecond || least > 70*time.Millisecond || most < 110*time.Millisecond || most > 130*time.Millisecond {
		t.Errorf("delayed by %v to %v", least, most)
	}
}

func TestLinkLoses(t *testing.T) {
	const n = 20000
	out, s := send(t, Impairments{Loss: 0.05}, 3, n, 10, time.Millisecond)
	if share := float64(s.Lost) / n; math.Abs(share-0.05) > 0.01 || len(out) != n-int(s.Lost) {
		t.Errorf("lost %.3f: %+v", share, s)
	}
}

// A burst each 1/BurstLoss packets, BurstLength long.
func TestLinkLosesInBursts(t *testing.T) {
	const n = 50000
	out, s := send(t, Impairments{BurstLoss: 0.01, BurstLength: 8}, 3, n, 10, time.Millisecond)
	bursts, last := 0, -1
	for _, a := range out {
		if a.number != last+1 {
			bursts++
		}
		last = a.number
	}
	mean := float64(s.Lost) / float64(bursts)
	if mean < 7 || mean > 9.5 || bursts < 350 || bursts > 550 {
		t.Errorf("%d bursts of mean length %.1f", bursts, mean)
	}
}

func TestLinkReordersAndDoubles(t *testing.T) {
	const n = 10000
	out, s := send(t, Impairments{Reorder: 0.1, HoldBack: 35 * time.Millisecond}, 5, n, 10, step)
	overtaken := 0
	for k := 1; k < len(out); k++ {
		if out[k].number < out[k-1].number {
			overtaken++
		}
	}
	// One held back next to another may keep its order with it.
	if s.Sent != n || s.Reordered < 900 || s.Reordered > 1100 || overtaken < 800 || int64(overtaken) > s.Reordered {
		t.Errorf("%d overtaken, %+v", overtaken, s)
	}
	out, s = send(t, Impairments{Duplicate: 0.2}, 5, n, 10, step)
	seen := map[int]int{}
	for _, a := range out {
		seen[a.number]++
	}
	twice := 0
	for _, times := range seen {
		if times == 2 {
			twice++
		}
	}
	if twice < 1800 || twice > 2200 || int64(twice) != s.Duplicated || s.Sent != int64(n+twice) {
		t.Errorf("%d twice, %+v", twice, s)
	}
}

// Twice the rate: half of it is lost, the rest waits for up to the queue.
func TestLinkRate(t *testing.T) {
	i := Impairments{Rate: 400_000, Queue: 100 * time.Millisecond}
	out, s := send(t, i, 1, 1000, 1000, step) // 800 kbit/s
	if s.Overflowed < 480 || s.Overflowed > 500 {
		t.Errorf("%+v", s)
	}
	for k := 1; k < len(out); k++ {
		if gap := out[k].after - out[k-1].after; gap < 20*time.Millisecond {
			t.Fatalf("packets %v apart", gap)
		}
		if late := out[k].after - time.Duration(out[k].number)*step; late > 100*time.Millisecond {
			t.Fatalf("a packet waited %v", late)
		}
	}
}

// The seed decides, and the time does not.
func TestLinkIsDeterministic(t *testing.T) {
	i := Impairments{Loss: 0.1, BurstLoss: 0.01, Jitter: 5 * time.Millisecond, Reorder: 0.1, Duplicate: 0.1}
	numbers := func(seed uint64, interval time.Duration) []int {
		out, _ := send(t, i, seed, 500, 10, interval)
		var n []int
		for _, a := range out {
			n = append(n, a.number)
		}
		slices.Sort(n)
		return n
	}
	first := numbers(42, step)
	if !reflect.DeepEqual(first, numbers(42, 3*step)) {
		t.Error("the same seed gave other packets")
	}
	if reflect.DeepEqual(first, numbers(43, step)) {
		t.Error("another seed gave the same packets")
	}
}

func TestLinkFilterAndSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []byte
		l := NewLink(Impairments{Filter: func(p []byte) []byte {
			if p[0] == 2 {
				return nil
			}
			p[0] += 10
			return p
		}}, 1, func(_ int, p []byte) { got = append(got, p[0]) })
		for b := byte(1); b <= 3; b++ {
			l.Send(0, []byte{b})
		}
		synctest.Wait()
		l.Set(Impairments{Loss: 1})
		l.Send(0, []byte{4})
		l.Set(Impairments{})
		l.Send(0, []byte{5})
		synctest.Wait()
		l.Close()
		l.Send(0, []byte{6})
		l.Close()
		if !slices.Equal(got, []byte{11, 13, 5}) {
			t.Errorf("came out: %v", got)
		}
		if s := l.Stats(); s != (Stats{Received: 5, Filtered: 1, Lost: 1, Sent: 3}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestLinkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLink(Impairments{Delay: time.Hour}, 1, func(int, []byte) {})
		for range maxUnderWay + 10 {
			l.Send(0, []byte{1})
		}
		if s := l.Stats(); s.Overflowed != 10 {
			t.Errorf("%+v", s)
		}
		l.Close()
	})
}
