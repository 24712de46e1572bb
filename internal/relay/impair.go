// Package relay is a bad network for tests: it passes UDP packets on between
// two parties and loses, delays, reorders and doubles some of them.
//
//	caller <-> Pair (RTP and RTCP) <-> gateway     a Link each way, in one stream
//	caller <-> SIP  (its SDP names Pairs) <-> gateway
//
// What happens to the nth packet of a direction depends on the seed and n
// alone, so that a test that fails can be run again.
package relay

import (
	"math/rand/v2"
	"time"
)

// Impairments are what a direction does to packets. The zero value passes
// them on at once.
type Impairments struct {
	Loss float64 // share of packets lost independently, 0 to 1
	// BurstLoss is the chance of each packet to begin a burst in which all
	// are lost, BurstLength the mean length of a burst in packets (default 5):
	// the model of Gilbert.
	BurstLoss   float64
	BurstLength float64

	Delay  time.Duration // of each packet
	Jitter time.Duration // up to so much more, even; the order is kept
	// Reorder is the share of packets held back by HoldBack (default 30 ms),
	// so that later ones overtake them.
	Reorder  float64
	HoldBack time.Duration

	Duplicate float64 // share of packets that come twice

	// Rate limits the direction, in bits a second of UDP payload. What would
	// wait for longer than Queue (default 200 ms) is lost.
	Rate  int
	Queue time.Duration

	// Filter sees each packet first. It may change it in place, and returns
	// what goes on; nil drops it.
	Filter Filter
}

// Filter changes or drops a packet.
type Filter func(packet []byte) []byte

func (i Impairments) withDefaults() Impairments {
	if i.BurstLength < 1 {
		i.BurstLength = 5
	}
	if i.HoldBack <= 0 {
		i.HoldBack = 30 * time.Millisecond
	}
	if i.Queue <= 0 {
		i.Queue = 200 * time.Millisecond
	}
	return i
}

// Stats counts the packets of a direction.
type Stats struct {
	Received   int64
	Filtered   int64 // dropped by the Filter
	Lost       int64 // by Loss and BurstLoss
	Overflowed int64 // lost by Rate, or because too many were under way
	Reordered  int64
	Duplicated int64
	Sent       int64 // doubles counted
}

// fate decides what happens to packets, without a clock of its own.
type fate struct {
	Impairments
	rand  *rand.Rand
	burst bool
	free  time.Time // when the rate lets the next packet begin
	last  time.Time // delivery of the last packet that was not held back
}

func newFate(i Impairments, seed uint64) *fate {
	return &fate{Impairments: i.withDefaults(), rand: rand.New(rand.NewPCG(seed, 0x72656c6179))}
}

// decide returns when a packet of size bytes that came at now is delivered,
// twice if it is doubled, never if it is lost.
func (f *fate) decide(now time.Time, size int, s *Stats) []time.Time {
	// As many draws for each packet, whatever the options and the time are.
	var draw [7]float64
	for i := range draw {
		draw[i] = f.rand.Float64()
	}
	if f.lost(draw[0], draw[1], draw[6]) {
		s.Lost++
		return nil
	}
	at := now
	if f.Rate > 0 {
		if at.Before(f.free) {
			at = f.free
		}
		at = at.Add(time.Duration(size) * 8 * time.Second / time.Duration(f.Rate))
		if at.Sub(now) > f.Queue {
			s.Overflowed++
			return nil
		}
		f.free = at
	}
	at = at.Add(f.Delay + time.Duration(draw[2]*float64(f.Jitter)))
	if draw[3] < f.Reorder {
		s.Reordered++
		at = at.Add(f.HoldBack)
	} else {
		if at.Before(f.last) {
			at = f.last
		}
		f.last = at
	}
	if draw[4] < f.Duplicate {
		s.Duplicated++
		return []time.Time{at, at.Add(time.Duration(draw[5] * float64(f.HoldBack)))}
	}
	return []time.Time{at}
}

// lost tells whether a packet is lost, and moves the burst on: a burst of mean
// length n ends with each of its packets with the chance 1/n.
func (f *fate) lost(single, begin, end float64) bool {
	if !f.burst {
		f.burst = begin < f.BurstLoss
	}
	if f.burst {
		f.burst = end >= 1/f.BurstLength
		return true
	}
	return single < f.Loss
}
